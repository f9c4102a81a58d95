package daemon

import "testing"

func TestEverythingThatIsHandedOverCanBeCarried(t *testing.T) {
	if err := carriedCodec().Check(carried{}); err != nil {
		t.Errorf("give it words, or say that its numbers are fixed (HandOver of its package): %v", err)
	}
}
