{{- define "pawl.annotations" -}}
pawl.bitvault.io/consumer: {{ .Values.consumer | quote }}
pawl.bitvault.io/release: {{ .Values.release | quote }}
{{- end }}

{{- /* The annotations of what has to exist before the migration. */}}
{{- define "pawl.rights" -}}
{{ include "pawl.annotations" . }}
argocd.argoproj.io/sync-wave: "-5"
{{- if eq .Values.variant "presync" }}
argocd.argoproj.io/hook: PreSync
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
{{- end }}
{{- end }}

{{- /* A Job's spec: root, component, account, token, args, deadline. */}}
{{- define "pawl.job" -}}
backoffLimit: {{ .root.Values.migrate.backoffLimit }}
activeDeadlineSeconds: {{ .deadline }}
podFailurePolicy:
  rules:
    # A drained node says nothing about the migration.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    # 1 refused, 2 usage, 3 unknown, 5 failure: the same again would end the
    # same. 4 (transient), 130 and 143 (interrupted) are tried again.
    - action: FailJob
      onExitCodes:
        containerName: pawl
        operator: In
        values: [1, 2, 3, 5]
template:
  metadata:
    annotations:
      {{- include "pawl.annotations" .root | nindent 6 }}
      # A sidecar that does not end keeps the Job from completing.
      sidecar.istio.io/inject: "false"
      linkerd.io/inject: disabled
    labels:
      app.kubernetes.io/component: {{ .component }}
      sidecar.istio.io/inject: "false"
  spec:
    restartPolicy: Never
    serviceAccountName: {{ .account }}
    automountServiceAccountToken: {{ .token }}
    # Time to cancel the statement on the server, roll back and say so.
    terminationGracePeriodSeconds: 60
    {{- with .root.Values.image.pullSecrets }}
    imagePullSecrets:
      {{- range . }}
      - name: {{ . }}
      {{- end }}
    {{- end }}
    securityContext:
      runAsNonRoot: true
      runAsUser: 65532
      runAsGroup: 65532
      fsGroup: 65532
      seccompProfile:
        type: RuntimeDefault
    containers:
      - name: pawl
        image: {{ .root.Values.image.repository }}@{{ .root.Values.image.digest }}
        args:
          {{- range .args }}
          - {{ . | quote }}
          {{- end }}
        {{- if .metrics }}
        ports:
          - name: metrics
            containerPort: 9187
        {{- end }}
        env:
          - name: POD_NAME
            valueFrom:
              fieldRef:
                fieldPath: metadata.name
          - name: POD_NAMESPACE
            valueFrom:
              fieldRef:
                fieldPath: metadata.namespace
          - name: PAWL_CONSUMER
            valueFrom:
              fieldRef:
                fieldPath: metadata.annotations['pawl.bitvault.io/consumer']
          - name: PAWL_RELEASE
            valueFrom:
              fieldRef:
                fieldPath: metadata.annotations['pawl.bitvault.io/release']
        resources:
          {{- toYaml .root.Values.resources | nindent 10 }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop: [ALL]
        terminationMessagePolicy: FallbackToLogsOnError
        volumeMounts:
          - name: database
            mountPath: /var/run/secrets/pawl
            readOnly: true
    volumes:
      - name: database
        secret:
          secretName: {{ .root.Values.database.secret }}
          defaultMode: 0440
          items:
            - key: {{ .root.Values.database.key }}
              path: url
{{- end }}
