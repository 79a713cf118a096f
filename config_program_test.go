package spoold

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/program"
)

// FuzzAValueIsTakenInItsRangeAndPrintedAsItIsRead reads its input as keys and values: those of the table,
// near misses, and any others.
//
// Law: a number, size or time is taken exactly where it is one, in integers that cannot overflow, and in
// its range; what was taken is printed as text that is taken again and means the same; an unknown key is an
// error that names the nearest known one, if one is near; every error is a *ConfigError with the key in it, and
// none shows what may be a secret.
func FuzzAValueIsTakenInItsRangeAndPrintedAsItIsRead(f *testing.F) {
	f.Add([]byte{})
	for i := range byte(60) {
		f.Add([]byte{0, i, i % 5, 7, 130, 2, i})
	}
	f.Add([]byte{1, 3, 'x', 'y', 2, 1, 5, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		checkSet(t, anyKey(p), anyValue(p))
	})
}

// Each key with numbers near zero: what is inside its range and yet refused.
func TestSmallNumbersAreTakenWhereTheKeySaysSo(t *testing.T) {
	for _, k := range Keys() {
		for _, n := range []int{-2, -1, 0, 1, 65, 1 << 16} {
			checkSet(t, k.Name, strconv.Itoa(n))
		}
	}
}

// checkSet sets a key of a fresh configuration, and compares what becomes of it with the law.
func checkSet(t *testing.T, key, value string) {
	t.Helper()
	c := DefaultConfig()
	err := c.Set(key, value)
	name, known := KeyOf(strings.TrimSpace(key))
	if !known {
		name = strings.TrimSpace(key)
	}
	var fault *ConfigError
	if err != nil && (!errors.As(err, &fault) || fault.Key != name) {
		t.Fatalf("Set(%q, %q) = %v, want a *ConfigError that names the key", key, value, err)
	}
	switch k := keyNamed(name); {
	case !known:
		checkUnknown(t, name, err)
	case k.Works:
		checkKnown(t, k, value, &c, err)
	default:
		checkInert(t, k, name, value, err)
	}
}

// keyNamed is the row of a name, or of its beginning.
func keyNamed(name string) *Key {
	for _, k := range Keys() {
		if k.Name == name || strings.HasSuffix(k.Name, ".") && strings.HasPrefix(name, k.Name) {
			return &k
		}
	}
	return nil
}

// checkInert: a key that does nothing is taken, but for one that is refused, which takes what changes nothing.
func checkInert(t *testing.T, k *Key, name, value string, err error) {
	t.Helper()
	value = strings.TrimSpace(value)
	harmless := value == "" || value == "null" || slices.Contains(k.Harmless, value)
	if (err == nil) != (harmless || !k.Refused) && !k.Secret {
		t.Fatalf("Set(%q, %q) = %v", name, value, err)
	}
	if err != nil && k.Secret && len(value) > 3 && !strings.Contains(name+k.Note, value) && strings.Contains(err.Error(), value) {
		t.Fatalf("Set(%q, …) shows what may be a secret: %v", name, err)
	}
}

// anyKey is one of the table's, a near miss, or any.
func anyKey(p *program.Program) string {
	kind := p.Below(4)
	keys := Keys()
	name := keys[p.Below(len(keys))].Name
	switch kind {
	case 1:
		at := p.Below(len(name))
		name = name[:at] + string(p.Bytes(3)) + name[min(at+p.Below(3), len(name)):]
	case 2:
		other := []string{"compression.codec", "metadata.broker.list", "key.serializer", "metrics.x", "sasl.jaas.config", "ssl.key.pem", "transactional.id", "partitioner.ignore.keys"}
		name = other[p.Below(len(other))]
	case 3:
		name = string(p.Bytes(40))
	}
	return name
}

// anyValue is a number with or without a unit, a word, or any.
func anyValue(p *program.Program) string {
	space := []string{"", "", " ", "\t"}[p.Below(4)]
	switch p.Below(5) {
	case 0, 1:
		units := []string{"", "", "ms", "s", "m", "h", "d", "us", "B", "kB", "KiB", "MiB", "GiB", "TiB", "MB", "TB", " KiB", ".5s", "h30m", "µs", "e3", "_000"}
		return space + strconv.FormatInt(p.Int64(), 10) + units[p.Below(len(units))] + space
	case 2:
		words := []string{"true", "false", "all", "-1", "zstd", "none", "info", "auto", "off", "PLAINTEXT", "SASL_SSL", "a:1,b:2", " a:1 , ,b:2", "127.0.0.1:80", ":0", "x:65536", "[::1]:9", ""}
		return words[p.Below(len(words))]
	}
	return space + string(p.Bytes(30))
}

// checkKnown compares what became of a value with what a slow reader makes of it.
func checkKnown(t *testing.T, k *Key, value string, c *Config, err error) {
	n, ok, is := slowNumber(k, strings.TrimSpace(value))
	if is && ok != (err == nil) {
		t.Fatalf("Set(%s, %q) = %v, want it taken: %v (%v)", k.Name, value, err, ok, n)
	}
	if err != nil {
		return
	}
	text, _ := c.Get(k.Name)
	if is && reading(t, k, text).Cmp(n) != 0 {
		t.Fatalf("Set(%s, %q) means %v, want %v", k.Name, value, text, n)
	}
	if k.Secret {
		if text != "" && text != hiddenText && !Secret(text).isReference() {
			t.Fatalf("Set(%s, %q) is shown as %q", k.Name, value, text)
		}
		return
	}
	d := DefaultConfig()
	if err := d.Set(k.Name, text); err != nil {
		t.Fatalf("Set(%s, %q) is printed as %q, which is not taken: %v", k.Name, value, text, err)
	}
	if again, _ := d.Get(k.Name); again != text || d.Differs(c, k.Name) {
		t.Fatalf("Set(%s, %q) is printed as %q, and then as %q", k.Name, value, text, again)
	}
}

// reading is a numeric key's printed value, in its unit.
func reading(t *testing.T, k *Key, text string) *big.Int {
	t.Helper()
	if k.Kind == "duration" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s is printed as %q: %v", k.Name, text, err)
		}
		return big.NewInt(d.Milliseconds())
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		t.Fatalf("%s is printed as %q", k.Name, text)
	}
	return n
}

var (
	digits   = regexp.MustCompile(`^[+-]?[0-9]+$`)
	sizeForm = regexp.MustCompile(`(?i)^([+-]?[0-9]+)(\.[0-9]{1,18})?\s*(KiB|MiB|GiB|TiB|KB|MB|GB|TB|B|K|M|G|T)?$`)
	daysForm = regexp.MustCompile(`^([+-]?[0-9]+)d$`)
)

// leastButZero is what a key's value is at least where it is not zero.
var leastButZero = map[string]int64{"spool.segment.bytes": leastSegment, "topic.quota.bytes": leastQuota}

// slowNumber is what a value means for a numeric key (is), and whether it may be so.
func slowNumber(k *Key, value string) (n *big.Int, ok, is bool) {
	n = new(big.Int)
	if value == "" && k.Default == "" { // not given
		switch k.Kind {
		case "int", "size", "ms", "duration":
			return n, true, true
		}
	}
	switch k.Kind {
	case "int":
		ok = digits.MatchString(value)
		n.SetString(strings.TrimPrefix(value, "+"), 10)
		ok = ok && n.IsInt64()
	case "size":
		if m := sizeForm.FindStringSubmatch(value); m != nil {
			units := map[string]int64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
				"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
			bytes, _ := new(big.Rat).SetString(m[1] + m[2])
			bytes.Mul(bytes, new(big.Rat).SetInt64(units[strings.ToUpper(m[3])]))
			n.Set(bytes.Num())
			ok = bytes.IsInt() && n.IsInt64() && (m[2] == "" || m[1][0] != '-')
		}
	case "ms", "duration":
		n, ok = slowTime(value, k.Kind == "ms")
	default:
		return nil, false, false
	}
	if longest := big.NewInt(math.MaxInt64 / int64(time.Millisecond)); k.Kind != "int" && k.Kind != "size" && ok && n.Cmp(longest) > 0 {
		n = longest // stands for anything longer
	}
	low, high := big.NewInt(k.Min), big.NewInt(k.Max)
	inside := n.Cmp(low) >= 0 && (k.Max == 0 || n.Cmp(high) <= 0)
	if k.Default == "" && n.Sign() == 0 || n.IsInt64() && slices.Contains(k.Also, n.Int64()) {
		inside = true
	}
	if (k.Name == "compression.gzip.level" || k.Name == "compression.level") && n.Sign() == 0 {
		inside = false
	}
	if least, has := leastButZero[k.Name]; has && n.Sign() > 0 && n.Cmp(big.NewInt(least)) < 0 {
		inside = false
	}
	return n, ok && inside, true
}

func slowTime(value string, plain bool) (*big.Int, bool) {
	n := new(big.Int)
	if digits.MatchString(value) {
		n.SetString(strings.TrimPrefix(value, "+"), 10)
		if n.IsInt64() {
			return n, plain || n.Sign() == 0
		}
		return n, false
	}
	if m := daysForm.FindStringSubmatch(value); m != nil {
		n.SetString(strings.TrimPrefix(m[1], "+"), 10)
		small := n.Cmp(big.NewInt(math.MaxInt32)) <= 0 && n.Cmp(big.NewInt(math.MinInt32)) >= 0
		return n.Mul(n, big.NewInt(86400_000)), small
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return n, false
	}
	return n.SetInt64(d.Milliseconds()), d%time.Millisecond == 0
}

// checkUnknown: the error names a known key that no other is nearer than, if one is near.
func checkUnknown(t *testing.T, name string, err error) {
	if err == nil {
		t.Fatalf("key %q is taken", name)
	}
	if name == "" {
		return
	}
	nearest, least := []string{}, len(name)/3+2
	consider := func(known string) {
		switch d := slowDistance(name, known); {
		case d < least:
			nearest, least = []string{known}, d
		case d == least && len(nearest) > 0:
			nearest = append(nearest, known)
		}
	}
	for _, k := range Keys() {
		consider(k.Name)
		for _, a := range k.Aliases {
			consider(a)
		}
	}
	_, said, _ := strings.Cut(err.Error(), "did you mean ")
	said = strings.TrimSuffix(said, "?")
	if len(nearest) == 0 && said != "" || len(nearest) > 0 && !slices.ContainsFunc(nearest, func(n string) bool { return strings.TrimSuffix(n, ".") == said }) {
		t.Fatalf("unknown key %q: %v, the nearest are %q", name, err, nearest)
	}
}

// slowDistance is Levenshtein's, as the textbook has it.
func slowDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			d[i][j] = 1 + min(d[i-1][j], d[i][j-1], d[i-1][j-1])
			if a[i-1] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-1][j-1])
			}
		}
	}
	return d[len(a)][len(b)]
}
