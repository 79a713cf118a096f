package httpin

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
)

// CheckOrigin says what is wrong with an origin that an operator lists.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("must be scheme, host and port, such as https://app.example.com")
	}
	return nil
}

// ownOrigin reports whether a request is not of a web page, or of one that is listed, or of one that this listener's own address
// stands for. A name is no such address, but localhost: whoever owns the name can have it lead here, and then the page
// counts as one of ours.
func (h *Handler) ownOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(h.cfg.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host != r.Host {
		return false
	}
	return u.Hostname() == "localhost" || net.ParseIP(u.Hostname()) != nil
}

// shareWithOrigin lets a listed web page read the answer, and reports whether the request was its question whether it may send.
func (h *Handler) shareWithOrigin(w http.ResponseWriter, r *http.Request) (question bool) {
	out := w.Header()
	out.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(h.cfg.Origins, origin) {
		return false
	}
	out.Set("Access-Control-Allow-Origin", origin)
	out.Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	out.Set("Access-Control-Allow-Methods", "GET, POST")
	out.Set("Access-Control-Allow-Headers", "Authorization, Content-Encoding, Content-Type, Idempotency-Key, X-Request-Id")
	out.Set("Access-Control-Max-Age", "600")
	return true
}
