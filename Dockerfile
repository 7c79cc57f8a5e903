# The image holds one static program and no shell. Add to it what a release
# brings: FROM pawl, COPY migrations /migrations, COPY pawl.refs.json /.
ARG GO_IMAGE=golang:1.26-bookworm
ARG RUN_IMAGE=scratch

FROM ${GO_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=1 GOFLAGS="-trimpath -buildvcs=false"
# By themselves first: the layer is kept until a dependency changes.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN go build -tags netgo,osusergo \
      -ldflags "-s -w -linkmode external -extldflags -static -X main.version=${VERSION}" \
      -o /out/pawl ./cmd/pawl \
 && echo 'nonroot:x:65532:65532::/:/sbin/nologin' > /out/passwd \
 && cp "$(go env GOROOT)/lib/time/zoneinfo.zip" /out/zoneinfo.zip

FROM ${RUN_IMAGE}
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/passwd /etc/passwd
# Go's own copy of the time zones: not every build image has the system's.
COPY --from=build /out/zoneinfo.zip /usr/share/zoneinfo.zip
COPY --from=build /out/pawl /pawl
ENV ZONEINFO=/usr/share/zoneinfo.zip
USER 65532:65532
ENTRYPOINT ["/pawl"]
