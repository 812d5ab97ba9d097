// Checks a published audit log with tools that are not ours, as an auditor would (docs/audit.md): once with Go's
// own golang.org/x/mod/sumdb (note and tlog), once with the client of transparency-dev's tessera.
//
//	auditor inclusion   -key VKEY -log DIR INDEX..      prints each entry, proved to be in the tree
//	auditor consistency -key VKEY -log DIR -old FILE    that the tree extends the one of an older checkpoint
//	auditor proof       -key VKEY -checkpoint FILE      reads a line of an export's proofs on stdin, and checks it
//
// Exits with 1 where anything does not hold. Knows the files of the log, and nothing of Assent.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/note"
)

// tool is one way to check a log.
type tool interface {
	name() string
	// inclusion returns the entry, once it is proved to be in the tree of the log's checkpoint.
	inclusion(ctx context.Context, index uint64) ([]byte, error)
	// consistency proves that the log's checkpoint extends this older one, and returns both sizes.
	consistency(ctx context.Context, old []byte) (uint64, uint64, error)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "auditor:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 2 {
		return errors.New("usage: auditor inclusion|consistency|proof ..")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ContinueOnError)
	key := flags.String("key", "", "verifier key of the log")
	log := flags.String("log", "", "folder of the log")
	old := flags.String("old", "", "an older checkpoint of it")
	checkpoint := flags.String("checkpoint", "", "checkpoint of an export")
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	verifier, err := note.NewVerifier(*key)
	if err != nil {
		return err
	}
	if os.Args[1] == "proof" {
		return proofs(verifier, *checkpoint)
	}
	tools := []func(string, note.Verifier) (tool, error){newSumdb, newTessera}
	for _, open := range tools {
		tool, err := open(*log, verifier)
		if err != nil {
			return err
		}
		switch os.Args[1] {
		case "inclusion":
			err = inclusion(tool, flags.Args())
		case "consistency":
			err = consistency(tool, *old)
		default:
			err = fmt.Errorf("unknown command %q", os.Args[1])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", tool.name(), err)
		}
	}
	return nil
}

func inclusion(tool tool, indexes []string) error {
	for _, text := range indexes {
		index, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		entry, err := tool.inclusion(context.Background(), index)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		fmt.Printf("%s %d %s\n", tool.name(), index, entry)
	}
	return nil
}

func consistency(tool tool, path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, now, err := tool.consistency(context.Background(), old)
	if err != nil {
		return err
	}
	fmt.Printf("%s %d %d\n", tool.name(), before, now)
	return nil
}

// proofs checks the lines of an export: with these alone, without the log.
func proofs(verifier note.Verifier, path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	tree, err := openTree(raw, verifier)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var line struct {
			Index int64
			Entry string
			Proof []string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return err
		}
		var hashes [][]byte
		for _, text := range line.Proof {
			hash, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return err
			}
			hashes = append(hashes, hash)
		}
		if err := checkRecord(tree, line.Index, []byte(line.Entry), hashes); err != nil {
			return fmt.Errorf("entry %d: %w", line.Index, err)
		}
		fmt.Printf("proof %d %s\n", line.Index, line.Entry)
	}
	return lines.Err()
}
