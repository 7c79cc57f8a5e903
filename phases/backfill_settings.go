package phases

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BackfillSettings say how fast a backfill may go, and what makes it wait. The zero of a limit means that it is off;
// DefaultBackfillSettings gives what holds where nothing is said.
type BackfillSettings struct {
	// Batch is how many rows of the table the first batch goes through; MinBatch and MaxBatch bound those that follow.
	// A zero MaxBatch lets the size of the table decide.
	Batch, MinBatch, MaxBatch int
	// Target is how long a batch should take; its size follows from that. Pause is the least time between two batches.
	Target, Pause time.Duration
	// LockTimeout bounds how long a batch waits for a row that somebody else has locked.
	LockTimeout time.Duration
	// Workers is how many ranges are worked on at once by one process.
	Workers int
	// Between is when it may run; the zero Window is always.
	Between Window
	// Lag and LagBytes bound how far a standby may be behind.
	Lag      time.Duration
	LagBytes int64
	// Archive bounds the WAL segments that wait for the archiver.
	Archive int
	// SlotSpare is what a replication slot must have left before the server gives it up (safe_wal_size), in bytes.
	SlotSpare int64
	// Autovacuum makes it wait while autovacuum works on the table.
	Autovacuum bool
	// OldestXact bounds the age of the oldest transaction, which keeps VACUUM from removing what updates leave.
	OldestXact time.Duration
	// Active bounds the sessions that work at the same time, pawl's own left out.
	Active int
	// WAL bounds the bytes of log that are written per second while batches run.
	WAL int64
	// Share is the part of the time that batches take while others use the database, in batches of at most 50 ms; zero
	// takes all of it, and keeps the batches as long.
	Share float64
	// Dead is the part of the table's rows that may be left dead before a VACUUM.
	Dead float64
	// Triggers are the triggers of the table that are meant to fire.
	Triggers []string
}

// DefaultBackfillSettings gives the settings of a backfill about which nothing is said.
func DefaultBackfillSettings() BackfillSettings {
	const mega = 1 << 20
	return BackfillSettings{
		Batch: 1000, MinBatch: 1, Target: 300 * time.Millisecond, LockTimeout: 250 * time.Millisecond, Workers: 1,
		Lag: 2 * time.Second, LagBytes: 64 * mega, Archive: 40, SlotSpare: 512 * mega, Autovacuum: true,
		OldestXact: 10 * time.Minute, Active: 50, WAL: 128 * mega, Dead: 0.06, Share: 0.3,
	}
}

// BackfillOptions are the names that Set knows, in the order in which they are documented.
func BackfillOptions() []string {
	return []string{"batch", "target", "pause", "lock", "workers", "between", "lag", "lag-bytes", "archive", "slot", "autovacuum",
		"xact", "active", "share", "wal", "dead", "triggers"}
}

// Set changes one setting by its name in the directive and on the command line. "off" takes a limit away.
func (s *BackfillSettings) Set(name, value string) error {
	off := value == "off"
	var err error
	switch name {
	case "batch":
		err = s.setBatch(value)
	case "target":
		s.Target, err = positive(value)
	case "pause":
		s.Pause, err = limit(value, off, ParseDuration)
	case "lock":
		s.LockTimeout, err = positive(value)
	case "workers":
		if s.Workers, err = strconv.Atoi(value); err == nil && (s.Workers < 1 || s.Workers > 64) {
			err = errors.New("from 1 to 64")
		}
	case "between":
		s.Between = Window{}
		if !off {
			s.Between, err = ParseWindow(value)
		}
	case "lag":
		s.Lag, err = limit(value, off, ParseDuration)
	case "lag-bytes":
		s.LagBytes, err = limit(value, off, parseBytes)
	case "archive":
		s.Archive, err = limit(value, off, strconv.Atoi)
	case "slot":
		s.SlotSpare, err = limit(value, off, parseBytes)
	case "autovacuum":
		if s.Autovacuum = value == "wait"; !s.Autovacuum && !off {
			err = errors.New("wait or off")
		}
	case "xact":
		s.OldestXact, err = limit(value, off, ParseDuration)
	case "active":
		s.Active, err = limit(value, off, strconv.Atoi)
	case "share":
		s.Share, err = limit(value, off, parsePart)
	case "wal":
		s.WAL, err = limit(strings.TrimSuffix(value, "/s"), off, parseBytes)
	case "dead":
		s.Dead, err = limit(value, off, parsePart)
	case "triggers":
		s.Triggers = strings.Split(value, ",")
	default:
		return fmt.Errorf("there is no setting %q", name)
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w", name, value, err)
	}
	return nil
}

func limit[T int | int64 | float64 | time.Duration](value string, off bool, parse func(string) (T, error)) (T, error) {
	if off {
		return 0, nil
	}
	v, err := parse(value)
	if err == nil && v <= 0 {
		err = errors.New("it must be more than nothing; `off` takes the limit away")
	}
	return v, err
}

func positive(value string) (time.Duration, error) {
	return limit(value, false, ParseDuration)
}

// ParseDuration reads Go's durations, and PostgreSQL's "10min".
func ParseDuration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.ReplaceAll(value, "min", "m"))
	if err != nil {
		return 0, errors.New("write a duration such as 300ms, 5s or 10min")
	}
	return d, nil
}

// parseBytes reads PostgreSQL's units, in powers of 1024.
func parseBytes(value string) (int64, error) {
	units := []struct {
		suffix string
		factor float64
	}{{"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}, {"B", 1}, {"", 1}}
	for _, u := range units {
		number, ok := strings.CutSuffix(value, u.suffix)
		if !ok {
			continue
		}
		if f, err := strconv.ParseFloat(number, 64); err == nil {
			return int64(f * u.factor), nil
		}
	}
	return 0, errors.New("write a size such as 64MB or 1GB")
}

func parsePart(value string) (float64, error) {
	number, percent := strings.CutSuffix(value, "%")
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent || f > 100 {
		return 0, errors.New("write a percentage such as 20%")
	}
	return f / 100, nil
}

func (s *BackfillSettings) setBatch(value string) error {
	parts := strings.Split(value, "..")
	numbers := make([]int, len(parts))
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			return errors.New("write a number of rows such as 1000, or bounds such as 100..20000")
		}
		numbers[i] = n
	}
	switch {
	case len(numbers) == 1:
		s.Batch = numbers[0]
	case len(numbers) == 2 && numbers[0] <= numbers[1]:
		s.MinBatch, s.MaxBatch = numbers[0], numbers[1]
	default:
		return errors.New("write bounds from the least to the most, such as 100..20000")
	}
	if s.MaxBatch > 0 {
		s.Batch = min(s.Batch, s.MaxBatch)
	}
	s.Batch = max(s.Batch, s.MinBatch)
	return nil
}

// Window is a time of day, from From up to To, both counted from midnight. To may be the smaller: then it goes over
// midnight. The zero Window is the whole day.
type Window struct{ From, To time.Duration }

// ParseWindow reads "01:00-05:00".
func ParseWindow(text string) (Window, error) {
	from, to, ok := strings.Cut(text, "-")
	f, err1 := time.Parse("15:04", from)
	t, err2 := time.Parse("15:04", to)
	if !ok || err1 != nil || err2 != nil || f.Equal(t) {
		return Window{}, errors.New("write a time of day such as 01:00-05:00")
	}
	midnight := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	return Window{f.Sub(midnight), t.Sub(midnight)}, nil
}

// String gives the window as ParseWindow reads it; empty for the whole day.
func (w Window) String() string {
	if w == (Window{}) {
		return ""
	}
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return clock(w.From) + "-" + clock(w.To)
}

// Until gives how long it is until the window opens; 0 while it is open.
func (w Window) Until(now time.Time) time.Duration {
	if w == (Window{}) {
		return 0
	}
	at := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute + time.Duration(now.Second())*time.Second
	open := at >= w.From && at < w.To
	if w.From > w.To {
		open = at >= w.From || at < w.To
	}
	if open {
		return 0
	}
	until := w.From - at
	if until < 0 {
		until += 24 * time.Hour
	}
	return until
}

// ApplyBackfillOptions puts the options of a directive over the settings. The order of the names does not matter.
func (s *BackfillSettings) ApplyBackfillOptions(options map[string]string) error {
	for _, name := range BackfillOptions() {
		if value, ok := options[name]; ok {
			if err := s.Set(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// IsBackfillOption reports whether a directive may give the option; table, key and done are no settings.
func IsBackfillOption(name string) bool {
	return name == "table" || name == "key" || name == "done" || slices.Contains(BackfillOptions(), name)
}
