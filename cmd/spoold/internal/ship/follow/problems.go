package follow

import "github.com/spoold/spoold/internal/shortage"

// problems are the files and directories that cannot be read now.
type problems struct {
	options *Options
	stats   *counters
	unread  map[string]*FileError // by path
	short   bool                  // the last pass met a shortage: the next one begins with a scan, after a wait
}

// fail reports a file that cannot be read, once until it can be.
func (p *problems) fail(path string, err error) {
	if p.unread[path] == nil {
		p.options.Report(Event{Kind: Failed, Path: path, Detail: err.Error()})
	}
	p.unread[path] = &FileError{path, err}
	p.count()
	p.short = p.short || shortage.Is(err)
}

// mended: a path can be read, or there is nothing any more.
func (p *problems) mended(path string) {
	if p.unread[path] != nil {
		delete(p.unread, path)
		p.count()
	}
}

// count has Stats say what cannot be read.
func (p *problems) count() {
	var first *FileError
	for _, e := range p.unread {
		if first == nil || e.Path < first.Path {
			first = e
		}
	}
	p.stats.unreadable.Store(int64(len(p.unread)))
	p.stats.problem.Store(first)
}
