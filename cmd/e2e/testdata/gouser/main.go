// Gouser is a program with a Go runtime and libc: it looks users up through NSS, from
// many threads.
package main

import (
	"fmt"
	"os"
	"os/user"
	"runtime"
	"sync"
)

func main() {
	var all sync.WaitGroup
	uids := make([]string, 32)
	for i := range uids {
		all.Go(func() {
			runtime.LockOSThread()
			uids[i] = "nobody"
			if u, err := user.Lookup(os.Args[1]); err == nil {
				uids[i] = u.Uid
			}
		})
	}
	all.Wait()
	for _, uid := range uids {
		if uid != uids[0] {
			fmt.Println("threads do not agree:", uids)
			os.Exit(1)
		}
	}
	fmt.Println(uids[0])
}
