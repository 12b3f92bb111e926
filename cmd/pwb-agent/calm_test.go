package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAFileThatIsStillBeingWrittenIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edits := make(chan struct{}, 1)
		over := calm(t.Context(), edits, time.Second)
		began := time.Now()
		go func() {
			for range 5 {
				edits <- struct{}{}
				time.Sleep(900 * time.Millisecond)
			}
		}()
		<-over
		if took := time.Since(began); took != 4*900*time.Millisecond+time.Second {
			t.Errorf("it is read after %v", took)
		}
		time.Sleep(time.Hour)
		select {
		case <-over:
			t.Error("one save is read twice")
		default:
		}
		edits <- struct{}{}
		<-over
	})
}
