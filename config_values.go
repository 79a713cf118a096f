package spoold

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set parses value into the key's field and checks its range and rule.
func (k *Key) set(c *Config, value string) error {
	value = strings.TrimSpace(value)
	switch f := k.field(c).(type) {
	case *string:
		*f = value
	case *[]string:
		*f = splitList(value)
	case *bool:
		switch value {
		case "true":
			*f = true
		case "false":
			*f = false
		default:
			return fmt.Errorf("must be true or false")
		}
	case *int64:
		n, err := k.number(value)
		if err != nil {
			return err
		}
		*f = n
	case *time.Duration:
		n, err := k.number(value)
		if err != nil {
			return err
		}
		*f = millis(n)
	}
	return k.check(c)
}

// millis is n ms without overflow: the longest Duration, either way, stands for anything longer.
func millis(n int64) time.Duration {
	const longest = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case n > longest:
		return math.MaxInt64
	case n < -longest:
		return math.MinInt64
	}
	return time.Duration(n) * time.Millisecond
}

// get is the field as text that set takes.
func (k *Key) get(c *Config) string {
	switch f := k.field(c).(type) {
	case *string:
		return *f
	case *[]string:
		return strings.Join(*f, ",")
	case *bool:
		return strconv.FormatBool(*f)
	case *int64:
		return strconv.FormatInt(*f, 10)
	case *time.Duration:
		if k.Kind == KindMillis {
			return strconv.FormatInt(f.Milliseconds(), 10)
		}
		return shortDuration(*f)
	}
	panic("spoold: field of key " + k.Name + " has a type that the table does not know")
}

// check is what can be said of the field's value alone.
func (k *Key) check(c *Config) error {
	var n int64
	switch f := k.field(c).(type) {
	case *string:
		if k.Choices != nil && !slices.Contains(k.Choices, *f) {
			return fmt.Errorf("must be one of %s", strings.Join(k.Choices, ", "))
		}
		return k.checkRule(c)
	case *int64:
		n = *f
	case *time.Duration:
		n = f.Milliseconds()
		if k.Default == "" && n == 0 {
			return nil // not given
		}
	default:
		return k.checkRule(c)
	}
	if n < k.Min || k.Max != 0 && n > k.Max {
		return fmt.Errorf("must be between %s and %s", k.show(k.Min), k.show(k.Max))
	}
	return k.checkRule(c)
}

func (k *Key) checkRule(c *Config) error {
	if k.rule == nil {
		return nil
	}
	return k.rule(c)
}

// number parses an int, a size in bytes, or a time in milliseconds.
func (k *Key) number(value string) (int64, error) {
	switch k.Kind {
	case KindSize:
		return parseSize(value)
	case KindMillis, KindDuration:
		return parseTime(value, k.Kind == KindMillis)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("must be a whole number")
	}
	return n, nil
}

// show is a bound as a person would write it.
func (k *Key) show(n int64) string {
	switch k.Kind {
	case KindSize:
		return formatSize(n)
	case KindDuration:
		return shortDuration(millis(n))
	case KindMillis:
		return strconv.FormatInt(n, 10) + " ms"
	}
	return strconv.FormatInt(n, 10)
}

// sizeUnits are tried in order; the plain ones last.
var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

func parseSize(value string) (int64, error) {
	digits, factor := value, int64(1)
	for _, u := range sizeUnits {
		if d, ok := strings.CutSuffix(value, u.suffix); ok {
			digits, factor = strings.TrimSpace(d), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("must be a size in bytes, such as 65536, 64KiB, 10MiB or 8GiB")
	}
	if n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return 0, fmt.Errorf("is too large")
	}
	return n * factor, nil
}

// parseTime gives milliseconds. A plain number is milliseconds where Kafka's name says so.
func parseTime(value string, plainIsMillis bool) (int64, error) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		if plainIsMillis || n == 0 {
			return n, nil
		}
		return 0, fmt.Errorf("needs a unit, such as %ds or %dh", n, n)
	}
	if days, ok := strings.CutSuffix(value, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil {
			return n * 24 * time.Hour.Milliseconds(), nil
		}
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		if plainIsMillis {
			return 0, fmt.Errorf("must be a number of milliseconds, or a time such as 5s")
		}
		return 0, fmt.Errorf("must be a time such as 30s, 15m, 24h or 7d")
	}
	if d%time.Millisecond != 0 {
		return 0, fmt.Errorf("must be whole milliseconds")
	}
	return d.Milliseconds(), nil
}

func formatSize(n int64) string {
	for i := len("KMGT") - 1; i >= 0; i-- {
		if u := sizeUnits[i]; n >= u.factor && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// shortDuration drops the zero parts that time.Duration prints: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func splitList(value string) []string {
	var list []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func checkListen(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("must be host:port, or off")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("has no port between 0 and 65535")
	}
	return nil
}

// unknownKey names the nearest key, if one is near.
func unknownKey(key string) error {
	best, distance := "", len(key)/3+2
	near := func(name string) {
		if d := editDistance(key, name); d < distance || d == distance && name < best {
			best, distance = name, d
		}
	}
	for i := range keys {
		near(keys[i].Name)
	}
	for _, m := range []map[string]string{aliases, ignoredKeys, laterKeys} {
		for name := range m {
			near(name)
		}
	}
	err := &ConfigError{Key: key, What: "unknown key"}
	if best != "" {
		err.What += "; did you mean " + strings.TrimSuffix(best, ".") + "?"
	}
	return err
}

// editDistance is how many letters must be put in, taken out or changed.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
