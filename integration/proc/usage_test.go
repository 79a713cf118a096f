package proc

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What the kernel says of this process changes with what it does.
func TestUseSeesMemoryDescriptorsWritesAndCPU(t *testing.T) {
	before, err := Use(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	held := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		held[i] = 1
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // nothing depends on it
	if _, err := f.Write(held[:1<<20]); err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
		for i := 0; i < size; i += 64 {
			sum += held[i]
		}
	}
	after, err := Use(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after.Anon-before.Anon < size/2 {
		t.Errorf("anonymous memory went from %d to %d with %d bytes more in use (%d)", before.Anon, after.Anon, size, sum)
	}
	if after.Descriptors <= before.Descriptors || after.Threads < 1 {
		t.Errorf("descriptors went from %d to %d with one file more open; %d threads", before.Descriptors, after.Descriptors, after.Threads)
	}
	if after.CPU <= before.CPU {
		t.Errorf("CPU time went from %v to %v", before.CPU, after.CPU)
	}
	// Not on every file system: one in memory is no disk.
	if after.Written < before.Written || before.File == 0 {
		t.Errorf("written: %d, then %d; mapped files: %d", before.Written, after.Written, before.File)
	}
}

func TestUseOfAProcessThatIsGoneIsAnError(t *testing.T) {
	if u, err := Use(1 << 30); err == nil {
		t.Errorf("Use() = %+v, nil for a process that does not exist", u)
	}
}

func TestSwitchesGrowWhenAThreadSleeps(t *testing.T) {
	before, err := Switches(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-time.After(time.Millisecond)
	}
	if after, err := Switches(os.Getpid()); err != nil || after <= before {
		t.Errorf("Switches went from %d to %d, %v", before, after, err)
	}
	if n, err := Switches(1 << 30); err == nil {
		t.Errorf("Switches of no process = %d", n)
	}
}
