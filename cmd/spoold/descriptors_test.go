package main

import "testing"

func TestConnectionsFitWhatMayBeOpen(t *testing.T) {
	for _, tt := range []struct {
		want  int
		files uint64
		fit   int
	}{
		{1024, 1024, 768},
		{1024, 1280, 1024},
		{1024, 1 << 62, 1024},
		{1024, 64, 16},
		{8, 64, 8},
	} {
		if got := fitConnections(tt.want, tt.files); got != tt.fit {
			t.Errorf("%d connections with %d files: %d, want %d", tt.want, tt.files, got, tt.fit)
		}
	}
}
