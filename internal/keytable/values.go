package keytable

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set gives the key's field a value, or leaves it as it is.
func (k *Row[C]) set(c *C, value string) error {
	undo := saved(k.Field(c))
	err := k.parse(c, value)
	if err != nil {
		undo()
	}
	return err
}

// saved puts what a field holds back into it.
func saved(field any) (undo func()) {
	f := reflect.ValueOf(field).Elem()
	former := reflect.New(f.Type()).Elem()
	former.Set(f)
	return func() { f.Set(former) }
}

// parse parses value into the key's field and checks its range and rule.
func (k *Row[C]) parse(c *C, value string) error {
	if value == "" && k.Default == "" {
		value = k.none()
	}
	if reference := strings.Index(value, "${"); reference >= 0 && !k.Secret && !k.References && isReference(value[reference:]) {
		return fmt.Errorf("holds a reference such as ${env:NAME} or ${file:PATH}, which only secrets and credentials may: give the value itself, or set the key by the environment")
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
		on, err := ParseBool(value)
		if err != nil {
			return err
		}
		*f = on
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

// ParseBool reads true and false in any case of letters, as Kafka's own clients do.
func ParseBool(value string) (bool, error) {
	switch {
	case strings.EqualFold(value, "true"):
		return true, nil
	case strings.EqualFold(value, "false"):
		return false, nil
	}
	return false, errors.New("must be true or false")
}

// isReference reports whether a text begins with a reference as spoold or one of Kafka's config providers has it.
func isReference(text string) bool {
	kind, _, ok := strings.Cut(strings.TrimPrefix(text, "${"), ":")
	return ok && slices.Contains([]string{"env", "file", "directory"}, kind)
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
	switch {
	case n >= k.Min && (k.Max == 0 || n <= k.Max), slices.Contains(k.Also, n):
	case len(k.Also) > 0:
		return fmt.Errorf("must be %s", k.Range())
	default:
		return fmt.Errorf("must be between %s and %s", Show(k.Kind, k.Min), Show(k.Kind, k.Max))
	}
	return k.checkRule(c)
}

// Range says which numbers are taken, such as "from 1 to 5" or "-1, or 1 to 9"; "" if that is any of the type's own.
func (s *Spec) Range() string {
	if s.Min == 0 && s.Max == 0 {
		return ""
	}
	text := ""
	for _, n := range s.Also {
		text += Show(s.Kind, n) + ", "
	}
	if text += "or "; len(s.Also) == 0 {
		text = "from "
	}
	return text + Show(s.Kind, s.Min) + " to " + Show(s.Kind, s.Max)
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

// sizeUnits are those of GNU's tools: a letter alone, or with iB, is a power of 1,024; with B it is one of 1,000. They are tried in
// order, whatever the case of their letters; the plain ones last.
var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40},
}

// ParseSize reads a size such as 16384, 64KiB, 64k or 1.5GiB.
func ParseSize(value string) (int64, error) {
	digits, factor := value, int64(1)
	for _, u := range sizeUnits {
		if at := len(value) - len(u.suffix); at > 0 && strings.EqualFold(value[at:], u.suffix) {
			digits, factor = strings.TrimSpace(value[:at]), u.factor
			break
		}
	}
	whole, fraction, fractional := strings.Cut(digits, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err == nil && n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return 0, fmt.Errorf("is too large")
	}
	n *= factor
	if err == nil && fractional {
		var more int64
		more, err = fractionOf(factor, fraction)
		if strings.HasPrefix(whole, "-") || n > math.MaxInt64-more {
			return 0, fmt.Errorf("must be a whole number of bytes from 0")
		}
		n += more
	}
	if err != nil {
		return 0, fmt.Errorf("must be a size in bytes, such as 65536, 64KiB, 10MiB or 8GiB; 64k is 64KiB, and 64kB is 64000")
	}
	return n, nil
}

// fractionOf is the part of a unit that the digits behind a point say.
func fractionOf(unit int64, digits string) (int64, error) {
	part, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) > 18 {
		return 0, fmt.Errorf("%q is no fraction", digits)
	}
	of := uint64(1)
	for range len(digits) {
		of *= 10
	}
	high, low := bits.Mul64(part, uint64(unit))
	n, rest := bits.Div64(high, low, of)
	if rest != 0 {
		return 0, fmt.Errorf("%d bytes have no fraction %q", unit, digits)
	}
	return int64(n), nil
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
