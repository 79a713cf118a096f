package spoold

import (
	"os"
	"strings"
	"testing"
)

func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// The list is made by integration/security, of Apache Kafka's own definition.
func TestEveryKeyOfKafkasProducerIsTakenWithItsDefault(t *testing.T) {
	list := lines(t, "testdata/kafka-producer-keys-4.3.1.txt")
	if len(list) != 113 {
		t.Errorf("%d keys, want 113", len(list))
	}
	for _, line := range list {
		f := strings.Split(line, "\t")
		c := validConfig()
		if err := c.Set(f[0], f[2]); err != nil {
			t.Errorf("Set(%s, %q), which is Kafka's default: %v", f[0], f[2], err)
		}
		if name, ok := KeyOf(f[0]); !ok || name != f[0] {
			t.Errorf("%s is known as %q", f[0], name)
		}
		if f[0] == "bootstrap.servers" {
			continue // has no default
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s = %q: %v", f[0], f[2], err)
		}
		// What Kafka's default means is another thing for a spool.
		if w := c.Warnings(); (len(w) > 0) != (f[0] == "retries" || f[0] == "delivery.timeout.ms") {
			t.Errorf("%s = %q, which is Kafka's default, warns: %q", f[0], f[2], w)
		}
	}
}

func TestEveryKeyOfLibrdkafkasProducerIsKnown(t *testing.T) {
	for _, key := range lines(t, "testdata/librdkafka-producer-keys.txt") {
		name, ok := KeyOf(key)
		if !ok {
			t.Errorf("%s is not known", key)
			continue
		}
		c := validConfig()
		if err := c.Set(key, ""); err != nil && !strings.Contains("acks enable.idempotence retries", name) && keyNamed(name).Default == "" {
			t.Errorf("Set(%s, \"\") = %v", key, err)
		}
	}
}

func TestAnotherSpellingIsTheSameKey(t *testing.T) {
	for _, k := range Keys() {
		for _, alias := range k.Aliases {
			if name, ok := KeyOf(alias); !ok || name != k.Name {
				t.Errorf("%s is %q, want %s", alias, name, k.Name)
			}
			c := validConfig()
			value, _ := c.Get(k.Name)
			if err := c.Set(alias, value); err != nil {
				t.Errorf("Set(%s, %q) = %v", alias, value, err)
			}
		}
	}
}

func TestKeysCannotBeDamagedByTheirCaller(t *testing.T) {
	for i, k := range Keys() {
		Keys()[i].Name = "damaged"
		for j := range k.Aliases {
			k.Aliases[j] = "damaged"
		}
		for j := range k.Choices {
			k.Choices[j] = "damaged"
		}
	}
	for _, k := range Keys() {
		if k.Name == "damaged" || strings.Contains(strings.Join(append(k.Aliases, k.Choices...), " "), "damaged") {
			t.Fatalf("the table was damaged: %+v", k)
		}
	}
	c := validConfig()
	if err := c.Set("security.protocol", "SSL"); err != nil {
		t.Error(err)
	}
}
