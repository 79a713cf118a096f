package page

// point is one sample of the history. Rates are means since the sample before.
type point struct {
	At       int64   `json:"at"` // ms since 1970
	Pending  uint64  `json:"pending"`
	Age      float64 `json:"age"`      // s, of the oldest pending record
	Accepted float64 `json:"accepted"` // records/s
	Acked    float64 `json:"acked"`    // records/s
	Bytes    int64   `json:"bytes"`    // of the spool on disk
}

// ring is the history at one step, oldest point first, at most keep points.
type ring struct {
	Step   int64   `json:"step"` // ms between two points
	Points []point `json:"points"`
	keep   int
}

// due reports whether a point at now is to be added. A clock that went back begins anew.
func (r *ring) due(now int64) bool {
	if len(r.Points) == 0 {
		return true
	}
	last := r.Points[len(r.Points)-1].At
	return now-last >= r.Step || now < last
}

func (r *ring) add(p point) {
	for len(r.Points) > 0 && r.Points[len(r.Points)-1].At >= p.At {
		r.Points = r.Points[:len(r.Points)-1] // the clock went back
	}
	if over := len(r.Points) + 1 - r.keep; over > 0 {
		r.Points = append(r.Points[:0], r.Points[over:]...)
	}
	r.Points = append(r.Points, p)
}

// trim drops what is older than the ring is long, as after a long stop.
func (r *ring) trim(now int64) {
	from := now - r.Step*int64(r.keep)
	k := 0
	for k < len(r.Points) && r.Points[k].At < from {
		k++
	}
	r.Points = r.Points[k:]
}
