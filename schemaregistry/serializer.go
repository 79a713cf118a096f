package schemaregistry

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/spoold/spoold"
)

// Lookup says how the id of a schema is found.
type Lookup int

const (
	// Register registers Options.Schema under the subject, or finds it there (auto.register.schemas=true).
	Register Lookup = iota
	// Existing takes the id that Options.Schema has under the subject; not registered is an error.
	Existing
	// Latest takes the id of the subject's latest schema (use.latest.version=true): Options.Schema is not used.
	Latest
)

// Options of a serializer. Client and Encode must be given.
type Options[T any] struct {
	Client *sr.Client
	// Schema is what Encode writes.
	Schema sr.Schema
	Encode func(T) ([]byte, error)
	// Key: the serializer is for keys, so that the subject is TOPIC-key. Otherwise it is TOPIC-value.
	Key bool
	// Subject gives the subject of a topic. nil: as Key says (TopicNameStrategy).
	Subject func(topic string) string
	Lookup  Lookup
	// Index is the path of a Protobuf message in its schema, such as 0 for the first one. nil: not Protobuf.
	Index []int
}

// New makes a serializer. It asks the registry nothing.
func New[T any](o Options[T]) (spoold.Serializer[T], error) {
	switch {
	case o.Client == nil || o.Encode == nil:
		return nil, errors.New("a schema registry's serializer needs a Client and an Encode")
	case o.Lookup < Register || o.Lookup > Latest:
		return nil, fmt.Errorf("Lookup %d is none of Register, Existing, Latest", o.Lookup)
	case o.Lookup != Latest && o.Schema.Schema == "":
		return nil, errors.New("a schema registry's serializer needs a Schema, unless Lookup is Latest")
	}
	if o.Subject == nil {
		suffix := "-value"
		if o.Key {
			suffix = "-key"
		}
		o.Subject = func(topic string) string { return topic + suffix }
	}
	return &serializer[T]{options: o, subjects: make(map[string]*subject)}, nil
}

type serializer[T any] struct {
	options Options[T]

	mu       sync.Mutex
	subjects map[string]*subject
}

// subject is asked for by one caller at a time.
type subject struct {
	turn chan struct{} // holds a token while somebody asks
	id   int           // valid if known; guarded by serializer.mu
	ok   bool
}

// maxSubjects bounds what is kept. Beyond it all is forgotten, and asked for once more.
const maxSubjects = 10_000

func (s *serializer[T]) Serialize(ctx context.Context, topic string, _ *[]spoold.Header, v T) ([]byte, error) {
	id, err := s.id(ctx, s.options.Subject(topic))
	if err != nil {
		return nil, err
	}
	body, err := s.options.Encode(v)
	if err != nil {
		return nil, err
	}
	b, err := new(sr.ConfluentHeader).AppendEncode(make([]byte, 0, 8+len(body)), id, s.options.Index)
	if err != nil {
		return nil, err
	}
	return append(b, body...), nil
}

// id is the id of the schema under a subject. Callers wait for one that asks, no longer than ctx.
func (s *serializer[T]) id(ctx context.Context, name string) (int, error) {
	sub, id, ok := s.known(name)
	if ok {
		return id, nil
	}
	select {
	case sub.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-sub.turn }()
	if _, id, ok = s.known(name); ok {
		return id, nil
	}
	id, err := s.ask(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("schema of subject %s: %w", name, err)
	}
	s.mu.Lock()
	sub.id, sub.ok = id, true
	s.mu.Unlock()
	return id, nil
}

func (s *serializer[T]) known(name string) (sub *subject, id int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub = s.subjects[name]
	if sub == nil {
		if len(s.subjects) >= maxSubjects {
			clear(s.subjects)
		}
		sub = &subject{turn: make(chan struct{}, 1)}
		s.subjects[name] = sub
	}
	return sub, sub.id, sub.ok
}

func (s *serializer[T]) ask(ctx context.Context, name string) (int, error) {
	switch s.options.Lookup {
	case Existing:
		found, err := s.options.Client.LookupSchema(ctx, name, s.options.Schema)
		return found.ID, err
	case Latest:
		found, err := s.options.Client.SchemaByVersion(ctx, name, -1)
		return found.ID, err
	}
	return s.options.Client.RegisterSchema(ctx, name, s.options.Schema, -1, -1)
}
