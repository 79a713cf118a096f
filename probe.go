package spoold

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/protocol/conn/secure"
)

// ClusterID asks the bootstrap servers which cluster they belong to; no spool is needed. The first that answers
// counts. It blocks until then, or until ctx ends; the error is the last server's.
func ClusterID(ctx context.Context, cfg Config) (string, error) {
	env := Env{}.withDefaults(&cfg)
	protection, err := cfg.protection(nil)
	if err != nil {
		return "", err
	}
	keeper, err := secure.New(protection)
	if err != nil {
		return "", credentialError(err)
	}
	err = errors.New("there are no bootstrap servers")
	for _, addr := range cfg.BootstrapServers {
		var id string
		if id, err = clusterOf(ctx, &cfg, keeper, &env, addr); err == nil {
			return id, nil
		}
	}
	return "", err
}

func clusterOf(ctx context.Context, cfg *Config, keeper *secure.Keeper, env *Env, addr string) (string, error) {
	c, err := conn.Dial(ctx, conn.Options{Addr: addr, ClientID: cfg.ClientID, SoftwareVersion: Version(), Dial: env.Dial, RequestTimeout: cfg.RequestTimeout,
		Security: keeper.Security})
	if err != nil {
		return "", err
	}
	defer c.Close(conn.ErrClosed)
	req := kmsg.NewPtrMetadataRequest()
	version, ok := c.Version(req.Key(), 12)
	if !ok {
		return "", errors.New("the broker does not tell its cluster's id")
	}
	req.SetVersion(version)
	req.Topics = []kmsg.MetadataRequestTopic{} // none
	type answer struct {
		id  string
		err error
	}
	answers := make(chan answer, 1)
	c.Do(req, cfg.RequestTimeout, func(resp kmsg.Response, _ bool, err error) {
		a := answer{err: err}
		if m, ok := resp.(*kmsg.MetadataResponse); ok && err == nil && m.ClusterID != nil {
			a.id = *m.ClusterID
		}
		answers <- a
	})
	select {
	case a := <-answers:
		return a.id, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
