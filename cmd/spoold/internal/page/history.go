package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spoold/spoold"
)

const (
	hourStep   = 10 * time.Second
	dayStep    = 5 * time.Minute
	saveEvery  = 5 * time.Minute
	maxHistory = 1 << 20 // bytes of the file; a larger one is not ours
)

// History samples the state every ten seconds: an hour at that step and a day at five
// minutes, about 60 KiB in a file of its own. Safe for concurrent use.
type History struct {
	path string // "": kept in memory only

	mu      sync.Mutex
	hour    ring
	day     ring
	last    counters // of the sample before
	lastDay counters
	unsaved bool // something other than silence has happened since the last save
	saved   int64
}

type counters struct {
	at              int64
	accepted, acked uint64
}

// Series is what the page plots.
type Series struct {
	Hour ring `json:"hour"`
	Day  ring `json:"day"`
}

// OpenHistory reads path, if it is there. A file that cannot be read is an error beside
// an empty history, which works.
func OpenHistory(path string) (*History, error) {
	h := &History{path: path}
	h.hour = ring{Step: hourStep.Milliseconds(), keep: int(time.Hour / hourStep)}
	h.day = ring{Step: dayStep.Milliseconds(), keep: int(24 * time.Hour / dayStep)}
	if path == "" {
		return h, nil
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxHistory) {
		err = errors.New("it is not a file that spoold wrote")
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	var s Series
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return h, fmt.Errorf("the history of the status page begins anew, %s cannot be read: %w", path, err)
	}
	h.hour.Points = s.Hour.Points[max(0, len(s.Hour.Points)-h.hour.keep):]
	h.day.Points = s.Day.Points[max(0, len(s.Day.Points)-h.day.keep):]
	return h, nil
}

// Run samples until ctx ends, and saves now and then and at the end. warn is called
// when the file cannot be written; at most once in each saveEvery.
func (h *History) Run(ctx context.Context, peek func() *spoold.Status, warn func(error)) {
	tick := time.NewTicker(hourStep)
	defer tick.Stop()
	for {
		h.add(peek())
		if err := h.save(false); err != nil {
			warn(err)
		}
		select {
		case <-ctx.Done():
			if err := h.save(true); err != nil {
				warn(err)
			}
			return
		case <-tick.C:
		}
	}
}

func (h *History) add(st *spoold.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := counters{at: st.Time.UnixMilli(), accepted: st.Accepted, acked: st.Acked}
	p := point{At: now.at, Pending: st.Pending, Age: st.OldestAgeSeconds, Bytes: st.SpoolBytes}
	if h.hour.due(now.at) {
		p.Accepted, p.Acked = now.rates(h.last)
		h.unsaved = h.unsaved || p.Accepted+p.Acked > 0
		h.hour.add(p)
		h.last = now
	}
	if h.day.due(now.at) {
		p.Accepted, p.Acked = now.rates(h.lastDay)
		h.day.add(p)
		h.lastDay = now
	}
	h.hour.trim(now.at)
	h.day.trim(now.at)
}

// rates are records per second since before; 0 where there is nothing before.
func (c counters) rates(before counters) (accepted, acked float64) {
	s := float64(c.at-before.at) / 1000
	if before.at == 0 || s <= 0 || c.accepted < before.accepted || c.acked < before.acked {
		return 0, 0
	}
	return float64(c.accepted-before.accepted) / s, float64(c.acked-before.acked) / s
}

// Series is a copy of what is known.
func (h *History) Series() Series {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Series{Hour: h.hour, Day: h.day}
	s.Hour.Points = append([]point{}, h.hour.Points...)
	s.Day.Points = append([]point{}, h.day.Points...)
	return s
}

// save writes the file when something happened since the last time: an idle daemon
// writes nothing. It is not synced: a power cut may cost the history, nothing else.
func (h *History) save(now bool) error {
	h.mu.Lock()
	due := h.path != "" && h.unsaved && (now || h.last.at-h.saved >= saveEvery.Milliseconds())
	if due {
		h.unsaved, h.saved = false, h.last.at
	}
	h.mu.Unlock()
	if !due {
		return nil
	}
	text, err := json.Marshal(h.Series())
	if err == nil {
		err = replace(h.path, text)
	}
	if err != nil {
		return fmt.Errorf("the history of the status page is not saved to %s: %w", filepath.Base(h.path), err)
	}
	return nil
}

// replace has another content in a file. A symbolic link of its name, or of the new file's, is replaced, not followed.
func replace(path string, text []byte) error {
	tmp := path + ".new"
	_ = os.Remove(tmp) // an end in the middle left it, or it is not ours: it must not be there
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the first error says it all
		return fmt.Errorf("%w", err)
	}
	return nil
}
