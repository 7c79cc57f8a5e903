package migrate

import (
	"bytes"
	"crypto/md5" //nolint:gosec // Liquibase's checksums are
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/layout"
)

// verifier compares a file with the checksum that a tool kept of it.
type verifier func(m *Migration, row historyRow) ChecksumState

func verdictOf(same bool) ChecksumState {
	if same {
		return ChecksumVerified
	}
	return ChecksumChanged
}

// verifyFlyway computes Flyway's CRC-32 of the lines without their ends, as a signed number.
func verifyFlyway(m *Migration, row historyRow) ChecksumState {
	if row.sum == "" {
		return ChecksumNone
	}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(bytes.TrimPrefix(m.src, byteOrderMark)))
	sum := crc32.NewIEEE()
	for line := range strings.SplitSeq(text, "\n") {
		_, _ = sum.Write([]byte(line))
	}
	return verdictOf(row.sum == strconv.FormatInt(int64(int32(sum.Sum32())), 10)) //nolint:gosec // Flyway's number is signed
}

// verifySqlx computes sqlx's SHA-384 of the file's bytes.
func verifySqlx(m *Migration, row historyRow) ChecksumState {
	return verdictOf(slices.ContainsFunc(lineEndings(m.src), func(text []byte) bool {
		sum := sha512.Sum384(text)
		return hex.EncodeToString(sum[:]) == row.sum
	}))
}

// verifyPrisma computes Prisma's SHA-256 of the file's bytes.
func verifyPrisma(m *Migration, row historyRow) ChecksumState {
	return verdictOf(slices.ContainsFunc(lineEndings(m.src), func(text []byte) bool {
		sum := sha256.Sum256(text)
		return hex.EncodeToString(sum[:]) == row.sum
	}))
}

// lineEndings gives a text as it is, and as a checkout on another system has it.
func lineEndings(src []byte) [][]byte {
	unix := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	return [][]byte{src, unix, bytes.ReplaceAll(unix, []byte("\n"), []byte("\r\n"))}
}

// liquibaseSums are the checksums that a changeset has: an MD5 of those of its changes, of which formatted SQL has one. Other versions
// than 8 and 9 are not computed.
func liquibaseSums(set layout.Changeset) []string {
	var sums []string
	for _, r := range set.Readings {
		for _, version := range []string{"8", "9"} {
			if sum := liquibaseSum(version, r); !slices.Contains(sums, sum) {
				sums = append(sums, sum)
			}
		}
	}
	return sums
}

// verifyLiquibase compares the checksum of a row with those of a changeset. What stands for a parameter of the changelog is not known, nor
// which encoding a text has that is not UTF-8.
func verifyLiquibase(set layout.Changeset, sums []string, sum string) ChecksumState {
	version, _, _ := strings.Cut(sum, ":")
	switch {
	case sum == "":
		return ChecksumNone
	case slices.Contains(sums, sum):
		return ChecksumVerified
	case version != "8" && version != "9", set.Parameters, slices.ContainsFunc(set.Readings, func(r layout.Reading) bool { return !utf8.ValidString(r.SQL) }):
		return ChecksumUnread
	}
	return ChecksumChanged
}

var liquibaseBlanks = pattern.Lazy(`[ \n\r\t]+`)

// liquibaseSum computes version 8, of the text with its blanks as one and of how it is split, or 9, of the text without blanks.
func liquibaseSum(version string, r layout.Reading) string {
	text := liquibaseBlanks().ReplaceAllString(r.SQL, "")
	if version == "8" {
		text = fmt.Sprintf("%s:%t:%t:%s", r.Delimiter, r.Split, r.Strip, strings.Trim(liquibaseBlanks().ReplaceAllString(r.SQL, " "), " "))
	}
	sum := func(text string) string {
		return fmt.Sprintf("%s:%x", version, md5.Sum([]byte(text))) //nolint:gosec // it is what Liquibase has
	}
	return sum(sum(text) + ":")
}
