package main

import (
	"context"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

// tessera checks with the client of transparency-dev's tessera, as witnesses and monitors of C2SP logs do.
type tessera struct {
	files      client.FileFetcher
	verifier   note.Verifier
	checkpoint *log.Checkpoint
	proofs     *client.ProofBuilder
}

func newTessera(folder string, verifier note.Verifier) (tool, error) {
	ctx, files := context.Background(), client.FileFetcher{Root: folder}
	checkpoint, _, _, err := client.FetchCheckpoint(ctx, files.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return nil, err
	}
	proofs, err := client.NewProofBuilder(ctx, checkpoint.Size, files.ReadTile)
	return &tessera{files, verifier, checkpoint, proofs}, err
}

func (*tessera) name() string { return "tessera" }

func (t *tessera) inclusion(ctx context.Context, index uint64) ([]byte, error) {
	hashes, err := t.proofs.InclusionProof(ctx, index)
	if err != nil {
		return nil, err
	}
	bundle, err := client.GetEntryBundle(ctx, t.files.ReadEntryBundle, index/256, t.checkpoint.Size)
	if err != nil {
		return nil, err
	}
	entry := bundle.Entries[index%256]
	leaf := rfc6962.DefaultHasher.HashLeaf(entry)
	size, root := t.checkpoint.Size, t.checkpoint.Hash
	return entry, proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf, hashes, root)
}

func (t *tessera) consistency(ctx context.Context, raw []byte) (uint64, uint64, error) {
	old, _, _, err := log.ParseCheckpoint(raw, t.verifier.Name(), t.verifier)
	if err != nil {
		return 0, 0, err
	}
	hashes, err := t.proofs.ConsistencyProof(ctx, old.Size, t.checkpoint.Size)
	if err != nil {
		return 0, 0, err
	}
	hasher, now := rfc6962.DefaultHasher, t.checkpoint
	err = proof.VerifyConsistency(hasher, old.Size, now.Size, hashes, old.Hash, now.Hash)
	return old.Size, now.Size, err
}
