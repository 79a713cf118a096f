package admin

import (
	"context"
	"net/http"
	"strconv"

	"github.com/spoold/spoold"
)

// Visitor is who asks on the admin listener, and what they may do. With a Status, they may do nothing.
type Visitor struct {
	Name          string
	Read, Operate bool

	Status     int // 401, 403 or 429; 0: they are known
	Message    string
	RetryAfter int      // seconds; 0: no such header
	Challenge  []string // for WWW-Authenticate
}

// operator marks the context of somebody who may decide things.
type operator struct{}

// Guard lets those to next whom enter accepts. Health and readiness are open to everybody. With a nil enter everybody may look,
// and nobody decide things.
func Guard(enter func(*http.Request) Visitor, next http.Handler) http.Handler {
	if enter == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		v := enter(r)
		switch {
		case v.Status != 0:
			for _, c := range v.Challenge {
				if v.Status == http.StatusUnauthorized {
					w.Header().Add("WWW-Authenticate", c)
				}
			}
			if v.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(v.RetryAfter))
			}
			writeJSON(w, v.Status, Failure{v.Message, spoold.ExitPermission})
			return
		case !v.Read:
			writeJSON(w, http.StatusForbidden, Failure{"User " + v.Name + " may not use the admin listener: give admin: read in the users file", spoold.ExitPermission})
			return
		case v.Operate:
			r = r.WithContext(context.WithValue(r.Context(), operator{}, true))
		}
		next.ServeHTTP(w, r)
	})
}

// ByRight has those who may decide things answered by operate, and others by read. A web page of another origin cannot decide
// things in the name of somebody whose browser keeps a password.
func ByRight(read, operate http.Handler) http.Handler {
	operate = http.NewCrossOriginProtection().Handler(operate)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(operator{}) != nil {
			operate.ServeHTTP(w, r)
			return
		}
		read.ServeHTTP(w, r)
	})
}
