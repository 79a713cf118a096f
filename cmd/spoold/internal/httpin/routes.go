package httpin

import (
	"net/http"
	"slices"
	"strings"
)

// maxVars is how many parts of a path may vary.
const maxVars = 3

// route is something that can be asked for.
type route struct {
	method  string
	pattern string // parts in braces stand for any
	open    bool   // without credentials
	serve   func(h *Handler, p *parse, w http.ResponseWriter, r *http.Request) *fault
	about   about
}

// routes are all that can be asked for. v3's are there under /kafka, too, as Confluent Server has them. The description of the
// listener (openapi.go) is made of it.
var routes []route

func init() { // the description is one of the routes
	routes = []route{
		{http.MethodPost, "/topics/{topic}", false, (*Handler).records, aboutRecords},
		{http.MethodPost, "/topics/{topic}/partitions/{partition}", false, (*Handler).records, aboutRecords},
		{http.MethodPost, unitsPath, false, (*Handler).records, aboutUnits},
		{http.MethodPost, "/v3/clusters/{cluster_id}/topics/{topic}/records", false, (*Handler).stream, aboutStream},
		{http.MethodPost, "/v3/clusters/{cluster_id}/topics/{topic}/records:batch", false, (*Handler).batch, aboutBatch},
		{http.MethodGet, "/v3/clusters", false, look(catalog.clusters), aboutLook("The cluster, as a list of one")},
		{http.MethodGet, "/v3/clusters/{cluster_id}", false, look(catalog.cluster), aboutLook("The cluster")},
		{http.MethodGet, "/v3/clusters/{cluster_id}/topics", false, look(catalog.topicsV3), aboutLook("Topics that are known")},
		{http.MethodGet, "/v3/clusters/{cluster_id}/topics/{topic}", false, look(catalog.topicV3), aboutLook("A topic that is known, or that the cluster says it has")},
		{http.MethodGet, "/v3/clusters/{cluster_id}/topics/{topic}/partitions", false, look(catalog.partitionsV3), aboutLook("The partitions of such a topic")},
		{http.MethodGet, "/v3/clusters/{cluster_id}/topics/{topic}/partitions/{partition}", false, look(catalog.partitionV3), aboutLook("A partition of such a topic")},
		{http.MethodGet, "/topics", false, look(catalog.topicNames), aboutLook("Names of topics that are known")},
		{http.MethodGet, "/topics/{topic}", false, look(catalog.topic), aboutLook("Such a topic, with its partitions")},
		{http.MethodGet, "/topics/{topic}/partitions", false, look(catalog.partitions), aboutLook("The partitions of such a topic")},
		{http.MethodGet, "/healthy", true, look(catalog.healthy), aboutOpen("200 while the process answers; as Strimzi's bridge has it")},
		{http.MethodGet, "/ready", true, look(catalog.ready), aboutOpen("200 while records are taken, else 503; as Strimzi's bridge has it")},
		{http.MethodGet, "/openapi", false, look(catalog.openAPI), aboutLook("This description")},
		{http.MethodGet, "/", false, look(catalog.version), aboutLook("The version, as Strimzi's bridge has it")},
	}
}

// prefixV3 may stand before v3's paths.
const prefixV3 = "/kafka"

// routeOf finds what is asked for, or says why there is nothing such. The varying parts of the path go to vars.
func routeOf(r *http.Request, vars *[maxVars]string) (*route, *fault) {
	path := r.URL.Path
	if r.URL.RawPath != "" && strings.Contains(strings.ToUpper(r.URL.RawPath), "%2F") {
		return nil, faultf(404, 404, "HTTP 404 Not Found: the path has an encoded slash, which could be a part's or between two")
	}
	if strings.HasPrefix(path, prefixV3+"/v3/") {
		path = path[len(prefixV3):]
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allow []string
	for i := range routes {
		rt := &routes[i]
		if !match(rt.pattern, path, vars) {
			continue
		}
		if rt.method == method {
			return rt, nil
		}
		allow = append(allow, rt.method)
	}
	if len(allow) > 0 {
		slices.Sort(allow)
		f := faultf(405, 405, "HTTP 405 Method Not Allowed: here is only %s", strings.Join(allow, " and "))
		f.allow = strings.Join(allow, ", ")
		return nil, f
	}
	if _, f := targetOf(path); f != nil {
		return nil, f
	}
	return nil, faultf(404, 404, "HTTP 404 Not Found: GET /openapi lists what there is")
}

// match compares a path with a pattern, part by part.
func match(pattern, path string, vars *[maxVars]string) bool {
	n := 0
	for {
		i := strings.IndexByte(pattern, '{')
		if i < 0 {
			return pattern == path
		}
		if len(path) < i || path[:i] != pattern[:i] {
			return false
		}
		path = path[i:]
		pattern = pattern[i+strings.IndexByte(pattern[i:], '}')+1:]
		end := strings.IndexByte(path, '/')
		if end < 0 {
			end = len(path)
		}
		if end == 0 {
			return false
		}
		vars[n], path = path[:end], path[end:]
		n++
	}
}
