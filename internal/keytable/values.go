package keytable

import (
	"encoding"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set parses value into the key's field and checks its range and rule.
func (k *Row[C]) set(c *C, value string) error {
	if value == "" && k.Default == "" {
		value = k.none()
	}
	for _, choice := range k.Choices {
		if strings.EqualFold(choice, value) {
			value = choice
		}
	}
	switch f := k.Field(c).(type) {
	case *string:
		*f = value
	case encoding.TextUnmarshaler:
		if err := f.UnmarshalText([]byte(value)); err != nil {
			return err
		}
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

// none is how a value that is not given is written.
func (k *Row[C]) none() string {
	switch k.Kind {
	case Int, Size, Millis, Duration:
		return "0"
	}
	return ""
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
func (k *Row[C]) get(c *C) string {
	switch f := k.Field(c).(type) {
	case *string:
		return *f
	case *[]string:
		return strings.Join(*f, ",")
	case *bool:
		return strconv.FormatBool(*f)
	case *int64:
		return strconv.FormatInt(*f, 10)
	case *time.Duration:
		if k.Kind == Millis {
			return strconv.FormatInt(f.Milliseconds(), 10)
		}
		return shortDuration(*f)
	case fmt.Stringer:
		return f.String()
	}
	panic("keytable: field of key " + k.Name + " has a type that it has no case for")
}

// raw is the field's value with its secret.
func (k *Row[C]) raw(c *C) string {
	if f, ok := k.Field(c).(interface{ Reveal() string }); ok {
		return f.Reveal()
	}
	return k.get(c)
}

// check is what can be said of the field's value alone.
func (k *Row[C]) check(c *C) error {
	var n int64
	switch f := k.Field(c).(type) {
	case *string:
		if k.Choices != nil && !slices.Contains(k.Choices, *f) && (*f != "" || k.Default != "") {
			return fmt.Errorf("must be one of %s", strings.Join(k.Choices, ", "))
		}
		return k.checkRule(c)
	case *int64:
		n = *f
	case *time.Duration:
		n = f.Milliseconds()
	default:
		return k.checkRule(c)
	}
	if k.Default == "" && n == 0 {
		return nil // not given
	}
	if n < k.Min || k.Max != 0 && n > k.Max {
		return fmt.Errorf("must be between %s and %s", Show(k.Kind, k.Min), Show(k.Kind, k.Max))
	}
	return k.checkRule(c)
}

func (k *Row[C]) checkRule(c *C) error {
	if k.Rule == nil {
		return nil
	}
	return k.Rule(c)
}

// number parses an int, a size in bytes, or a time in milliseconds.
func (k *Row[C]) number(value string) (int64, error) {
	switch k.Kind {
	case Size:
		return ParseSize(value)
	case Millis, Duration:
		return parseTime(value, k.Kind == Millis)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("must be a whole number")
	}
	return n, nil
}

// Show is a number of a kind as a person would write it.
func Show(kind Kind, n int64) string {
	switch kind {
	case Size:
		return formatSize(n)
	case Duration:
		return shortDuration(millis(n))
	case Millis:
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

// ParseSize reads a size such as 16384, 64KiB or 10MiB.
func ParseSize(value string) (int64, error) {
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
