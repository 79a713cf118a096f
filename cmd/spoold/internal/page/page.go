package page

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"

	"github.com/spoold/spoold"
)

//go:embed assets
var assets embed.FS

// Setting is one key of the effective configuration. Value is hidden for secrets.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Choice is what an operator may decide about a parked partition.
type Choice struct {
	Choice string `json:"choice"`
	Does   string `json:"does"`
	Risk   string `json:"risk"`
}

// Options say what a Page shows.
type Options struct {
	Peek     func() *spoold.Status // the present state; cheap, called once a second while somebody looks
	History  *History
	Warnings *Warnings
	Settings func() []Setting // as they are now; any goroutine may call it
	Choices  []Choice
	Next     http.Handler // answers all other paths
}

// Page answers /, /assets/, /events and /api/history. Safe for concurrent use.
type Page struct {
	o   Options
	hub *hub
	mux *http.ServeMux
}

// New makes a page. Close ends its streams.
func New(o Options) *Page {
	p := &Page{o: o, hub: newHub(o.Peek), mux: http.NewServeMux()}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic("page: " + err.Error()) // the folder is compiled in
	}
	static := http.FileServerFS(files)
	p.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		secure(w)
		http.ServeFileFS(w, r, files, "index.html")
	})
	p.mux.Handle("GET /assets/", http.StripPrefix("/assets/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w)
		static.ServeHTTP(w, r)
	})))
	p.mux.HandleFunc("GET /events", p.events)
	p.mux.HandleFunc("GET /api/history", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.o.History.Series()) })
	p.mux.HandleFunc("GET /api/config", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.o.Settings()) })
	p.mux.HandleFunc("GET /api/choices", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.o.Choices) })
	p.mux.Handle("/", o.Next)
	return p
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Close ends the streams, so that a server can shut down.
func (p *Page) Close() { p.hub.close() }

// secure forbids everything that does not come from this address.
func secure(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
}

func reply(w http.ResponseWriter, v any) {
	secure(w)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone: there is nobody to report to
}
