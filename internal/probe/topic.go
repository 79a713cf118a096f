package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
)

// CreateTopic makes a topic with the cluster's default replication.
func CreateTopic(ctx context.Context, o conn.Options, bootstrap []string, name string, partitions int32) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = []kmsg.CreateTopicsRequestTopic{t}, int32(perAddress.Milliseconds())
	return change(ctx, o, bootstrap, req, func(r *kmsg.CreateTopicsResponse) (refused []error) {
		for _, t := range r.Topics {
			refused = append(refused, refusal(t.ErrorCode, t.ErrorMessage))
		}
		return refused
	})
}

// DeleteTopic removes a topic with all its records.
func DeleteTopic(ctx context.Context, o conn.Options, bootstrap []string, name string) error {
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &name
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.Topics, req.TimeoutMillis = []string{name}, []kmsg.DeleteTopicsRequestTopic{t}, int32(perAddress.Milliseconds())
	return change(ctx, o, bootstrap, req, func(r *kmsg.DeleteTopicsResponse) (refused []error) {
		for _, t := range r.Topics {
			refused = append(refused, refusal(t.ErrorCode, t.ErrorMessage))
		}
		return refused
	})
}

// change asks the first bootstrap server that can be connected to for a change of topics, and returns what was refused of it.
func change[R kmsg.Response](ctx context.Context, o conn.Options, bootstrap []string, req kmsg.Request, refused func(R) []error) error {
	return atFirst(ctx, o, bootstrap, func(c *conn.Conn) error {
		resp, err := request[R](ctx, c, req)
		if err != nil {
			return err
		}
		return cmp.Or(refused(resp)...)
	})
}

// refusal is what a broker's error code and message say, or nil.
func refusal(code int16, message *string) error {
	switch c := protocol.ErrorCode(code); {
	case c == protocol.None:
		return nil
	case message != nil && *message != "":
		return fmt.Errorf("%w: %s", c, *message)
	default:
		return errors.New(c.String())
	}
}

// atFirst asks the first bootstrap server that can be connected to.
func atFirst(ctx context.Context, o conn.Options, bootstrap []string, ask func(*conn.Conn) error) error {
	o.RequestTimeout = perAddress
	var errs []error
	for _, addr := range bootstrap {
		a, c := connect(ctx, o, addr, -1)
		if a.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", addr, a.Err))
			continue
		}
		defer c.Close(nil)
		if err := ask(c); err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		return nil
	}
	return errors.Join(errs...)
}
