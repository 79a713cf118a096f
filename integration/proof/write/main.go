package main

import (
	"fmt"
	"os"

	"github.com/spoold/spoold/integration/proof"
)

func main() {
	root, err := proof.Root()
	if err == nil {
		err = proof.WritePage(root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
