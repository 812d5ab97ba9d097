package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// sumdb checks with golang.org/x/mod/sumdb, the code behind Go's checksum database.
type sumdb struct {
	folder   string
	verifier note.Verifier
	tree     tlog.Tree
	hashes   tlog.HashReader
}

func newSumdb(folder string, verifier note.Verifier) (tool, error) {
	raw, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return nil, err
	}
	tree, err := openTree(raw, verifier)
	if err != nil {
		return nil, err
	}
	return &sumdb{folder, verifier, tree, tlog.TileHashReader(tree, tiles(folder))}, nil
}

func (*sumdb) name() string { return "sumdb" }

// openTree verifies the note and reads the three lines of the checkpoint.
func openTree(raw []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func (s *sumdb) inclusion(_ context.Context, index uint64) ([]byte, error) {
	proof, err := tlog.ProveRecord(s.tree.N, int64(index), s.hashes)
	if err != nil {
		return nil, err
	}
	entry, err := s.entry(int64(index))
	if err != nil {
		return nil, err
	}
	return entry, tlog.CheckRecord(proof, s.tree.N, s.tree.Hash, int64(index), tlog.RecordHash(entry))
}

func (s *sumdb) consistency(_ context.Context, raw []byte) (uint64, uint64, error) {
	old, err := openTree(raw, s.verifier)
	if err != nil {
		return 0, 0, err
	}
	if old.N == 0 || old.N > s.tree.N {
		return 0, 0, errors.New("not an older checkpoint with entries")
	}
	proof, err := tlog.ProveTree(s.tree.N, old.N, s.hashes)
	if err != nil {
		return 0, 0, err
	}
	return uint64(old.N), uint64(s.tree.N), tlog.CheckTree(proof, s.tree.N, s.tree.Hash, old.N, old.Hash)
}

func checkRecord(tree tlog.Tree, index int64, entry []byte, hashes [][]byte) error {
	var proof tlog.RecordProof
	for _, hash := range hashes {
		proof = append(proof, tlog.Hash(hash))
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

// entry reads one entry of its bundle: two bytes of length each, then the entry.
func (s *sumdb) entry(index int64) ([]byte, error) {
	tile := tlog.Tile{H: 8, L: 0, N: index / 256, W: int(min(256, s.tree.N-index/256*256))}
	path := strings.Replace(path(tile), "tile/0/", "tile/entries/", 1)
	bundle, err := os.ReadFile(filepath.Join(s.folder, path))
	if err != nil {
		return nil, err
	}
	for at := int64(0); len(bundle) >= 2; at++ {
		end := 2 + int(bundle[0])<<8 + int(bundle[1])
		if end > len(bundle) {
			break
		}
		if at == index%256 {
			return bundle[2:end], nil
		}
		bundle = bundle[end:]
	}
	return nil, fmt.Errorf("%s has no such entry", path)
}

// path is that of C2SP tlog-tiles: the go.sum database has the tiles' height in front.
func path(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}

// tiles is the folder of a log.
type tiles string

func (tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		bytes, err := os.ReadFile(filepath.Join(string(t), path(tile)))
		if errors.Is(err, os.ErrNotExist) && tile.W < 256 {
			full := tile
			full.W = 256
			bytes, err = os.ReadFile(filepath.Join(string(t), path(full)))
		}
		if err != nil {
			return nil, err
		}
		if len(bytes) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s is too short", path(tile))
		}
		read = append(read, bytes[:tile.W*tlog.HashSize])
	}
	return read, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
