package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// What goes wrong inside a broker is answered with its code, and has appended or not as it says.
func TestWeatherIsAnsweredWithItsCode(t *testing.T) {
	l := newLab(t, broker.Config{})
	for _, tt := range []struct {
		weather broker.Weather
		code    string
	}{
		{broker.Weather{Storage: 1}, "KAFKA_STORAGE_ERROR"},
		{broker.Weather{Corrupt: 1}, "CORRUPT_MESSAGE"},
		{broker.Weather{Unknown: 1}, "UNKNOWN_SERVER_ERROR"},
	} {
		appended, refused := 0, 0
		for range 20 {
			topic := l.topic(1, broker.TopicConfig{})
			l.Weather = tt.weather
			if got := l.send(topic, l.seq(0, 2)); got != tt.code {
				t.Errorf("%+v: %s, want %s", tt.weather, got, tt.code)
			}
			l.Weather = broker.Weather{}
			if l.batches(topic) == 1 {
				appended++
			} else {
				refused++
			}
		}
		if unsure := tt.weather.Unknown > 0; refused == 0 || unsure != (appended > 0) {
			t.Errorf("%s: appended %d times, not appended %d times", tt.code, appended, refused)
		}
	}
}

func TestAnUnavailableClusterSaysSoInMetadataAndInitProducerID(t *testing.T) {
	l := newLab(t, broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	l.given(-1, -1)
	l.Weather = broker.Weather{Unavailable: 1}
	if code := l.ask(0, raw.Metadata(12, topic)).(*kmsg.MetadataResponse).Topics[0].ErrorCode; raw.Code(code) != "LEADER_NOT_AVAILABLE" {
		t.Errorf("Metadata: %s", raw.Code(code))
	}
	if code := l.ask(0, raw.InitProducerID(4, -1, -1)).(*kmsg.InitProducerIDResponse).ErrorCode; raw.Code(code) != "COORDINATOR_LOAD_IN_PROGRESS" {
		t.Errorf("InitProducerId: %s", raw.Code(code))
	}
}

// A right that is taken away is missed by its request and by no other, whether the topic exists or not.
func TestADeniedRightIsAnsweredWithAuthorizationFailed(t *testing.T) {
	l := newLab(t, broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	l.given(-1, -1)
	codes := func(topic string) map[string]string {
		c := map[string]string{}
		p := l.produceAs(0, 9, -1, raw.Part{Topic: topic, Records: l.of(9, 0, 0, 1).Bytes()})
		c["Produce"] = raw.Code(p.ErrorCode)
		c["Fetch"] = raw.Code(l.fetch(0, 12, topic, 0).ErrorCode)
		c["DescribeProducers"] = raw.Code(l.ask(0, raw.DescribeProducers(topic, 0)).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0].ErrorCode)
		c["ListOffsets"] = raw.Code(l.ask(0, raw.ListOffsets(7, topic, raw.Latest, 0)).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode)
		c["Metadata"] = raw.Code(l.ask(0, raw.Metadata(12, topic)).(*kmsg.MetadataResponse).Topics[0].ErrorCode)
		c["InitProducerId"] = raw.Code(l.ask(0, raw.InitProducerID(4, -1, -1)).(*kmsg.InitProducerIDResponse).ErrorCode)
		return c
	}
	for _, tt := range []struct {
		right  broker.Right
		code   string
		missed []string
	}{
		{broker.Write, "TOPIC_AUTHORIZATION_FAILED", []string{"Produce"}},
		{broker.Read, "TOPIC_AUTHORIZATION_FAILED", []string{"Fetch", "DescribeProducers"}},
		{broker.Describe, "TOPIC_AUTHORIZATION_FAILED", []string{"ListOffsets", "Metadata"}},
		{broker.Idempotent, "CLUSTER_AUTHORIZATION_FAILED", []string{"InitProducerId"}},
	} {
		for _, name := range []string{topic, "nowhere"} {
			of := name
			if tt.right == broker.Idempotent {
				of = ""
			}
			before := codes(name)
			l.Deny(tt.right, of, true)
			got := codes(name)
			for _, request := range tt.missed {
				if got[request] != tt.code {
					t.Errorf("right %d denied on %s: %s answers %s, want %s", tt.right, name, request, got[request], tt.code)
				}
				got[request] = before[request]
			}
			l.Deny(tt.right, of, false)
			for request, code := range before {
				if got[request] != code {
					t.Errorf("right %d denied on %s: %s answers %s, and %s without", tt.right, name, request, got[request], code)
				}
			}
		}
	}
}
