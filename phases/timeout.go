package phases

import (
	"strconv"
	"strings"
)

// Milliseconds reads a timeout as PostgreSQL does; ok is false for what is no number.
func Milliseconds(text string) (ms float64, ok bool) {
	text = strings.Trim(strings.TrimSpace(text), "'\"")
	n := 0
	for n < len(text) && (text[n] >= '0' && text[n] <= '9' || text[n] == '.') {
		n++
	}
	v, err := strconv.ParseFloat(text[:n], 64)
	if err != nil {
		return 0, false
	}
	switch strings.TrimSpace(text[n:]) {
	case "", "ms":
	case "us":
		v /= 1000
	case "s":
		v *= 1000
	case "min":
		v *= 60 * 1000
	case "h":
		v *= 60 * 60 * 1000
	case "d":
		v *= 24 * 60 * 60 * 1000
	default:
		return 0, false
	}
	return v, true
}
