// Checks a log and proofs about it with Go's own transparency-log packages (golang.org/x/mod/sumdb), and
// nothing of Phiward's. Exits 0 with a line of JSON only if everything it was asked about holds.
//
//	tlogcheck log DIR KEY [OLD_CHECKPOINT…]
//	tlogcheck inclusion PROOF KEY
//	tlogcheck receipt RECEIPT KEY
//	tlogcheck consistency PROOF OLD_CHECKPOINT KEY
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: tlogcheck log|inclusion|receipt|consistency …"))
	}
	args := os.Args[2:]
	var said map[string]int64
	var err error
	switch os.Args[1] {
	case "log":
		said, err = wholeLog(args[0], args[1], args[2:])
	case "inclusion", "receipt":
		said, err = inclusion(args[0], args[1])
	case "consistency":
		said, err = consistency(args[0], args[1], args[2])
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
	json.NewEncoder(os.Stdout).Encode(said)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "tlogcheck:", err)
	os.Exit(1)
}

// open checks a checkpoint's signature and reads its tree (c2sp.org/tlog-checkpoint: tlog.ParseTree wants
// another first line).
func open(text []byte, keyFile string) (tlog.Tree, error) {
	var tree tlog.Tree
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return tree, err
	}
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("the checkpoint is not of the log %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tree, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// tiles reads a directory in the layout of c2sp.org/tlog-tiles.
type tiles struct{ dir string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		// Go's own layout names the height; C2SP's does not.
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, err := os.ReadFile(filepath.Join(t.dir, path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func wholeLog(dir, keyFile string, olds []string) (map[string]int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return nil, err
	}
	tree, err := open(text, keyFile)
	if err != nil {
		return nil, err
	}
	reader := tlog.TileHashReader(tree, tiles{dir})
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return nil, fmt.Errorf("tree hash: %w", err)
	}
	if root != tree.Hash {
		return nil, fmt.Errorf("tree hash: the tiles give another root")
	}
	said := map[string]int64{"size": tree.N}
	_, err = os.Stat(filepath.Join(dir, "tile", "entries"))
	withEntries := err == nil
	var bundle []byte
	for index := int64(0); index < tree.N; index++ {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", index, err)
		}
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", index, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0]); err != nil {
			return nil, fmt.Errorf("leaf %d: %w", index, err)
		}
		said["leaves"]++
		if !withEntries {
			continue
		}
		if index%256 == 0 {
			width := tree.N - index
			if width > 256 {
				width = 256
			}
			// An entry bundle has the number and the width of its tile of level 0.
			tile := tlog.Tile{H: 8, L: 0, N: index / 256, W: int(width)}
			path := "tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/")
			if bundle, err = os.ReadFile(filepath.Join(dir, path)); err != nil {
				return nil, err
			}
		}
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			return nil, fmt.Errorf("entry %d: the bundle is cut short", index)
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		if tlog.RecordHash(bundle[2:end]) != leaf[0] {
			return nil, fmt.Errorf("entry %d is not the leaf's", index)
		}
		bundle = bundle[end:]
		if (index%256 == 255 || index == tree.N-1) && len(bundle) > 0 {
			return nil, fmt.Errorf("entry %d: bytes after the last entry", index)
		}
		said["entries"]++
	}
	for _, file := range olds {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		old, err := open(text, keyFile)
		if err != nil {
			return nil, err
		}
		proof, err := tlog.ProveTree(tree.N, old.N, reader)
		if err != nil {
			return nil, fmt.Errorf("consistency: %w", err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return nil, fmt.Errorf("consistency: %w", err)
		}
		said["consistent"]++
	}
	return said, nil
}

// record is one proof of `phiward ledger prove`, or one of a receipt.
type record struct {
	Index int64    `json:"index"`
	Leaf  string   `json:"leaf"`
	Path  []string `json:"path"`
}

type proofFile struct {
	record
	Records    []record `json:"records"`
	Old        int64    `json:"old"`
	Checkpoint string   `json:"checkpoint"`
}

func readProof(file, keyFile string) (proofFile, tlog.Tree, error) {
	var proof proofFile
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &proof)
	}
	if err != nil {
		return proof, tlog.Tree{}, err
	}
	tree, err := open([]byte(proof.Checkpoint), keyFile)
	return proof, tree, err
}

func hashes(texts []string) ([]tlog.Hash, error) {
	var all []tlog.Hash
	for _, text := range texts {
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(bytes) != tlog.HashSize {
			return nil, fmt.Errorf("not a hash: %q", text)
		}
		var hash tlog.Hash
		copy(hash[:], bytes)
		all = append(all, hash)
	}
	return all, nil
}

func inclusion(file, keyFile string) (map[string]int64, error) {
	proof, tree, err := readProof(file, keyFile)
	if err != nil {
		return nil, err
	}
	records := proof.Records
	if records == nil {
		records = []record{proof.record}
	}
	for _, one := range records {
		all, err := hashes(append([]string{one.Leaf}, one.Path...))
		if err != nil {
			return nil, err
		}
		if err := tlog.CheckRecord(all[1:], tree.N, tree.Hash, one.Index, all[0]); err != nil {
			return nil, fmt.Errorf("inclusion: %w", err)
		}
	}
	return map[string]int64{"size": tree.N, "leaves": int64(len(records))}, nil
}

func consistency(file, oldFile, keyFile string) (map[string]int64, error) {
	proof, tree, err := readProof(file, keyFile)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(oldFile)
	if err != nil {
		return nil, err
	}
	old, err := open(text, keyFile)
	if err != nil {
		return nil, err
	}
	path, err := hashes(proof.Path)
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	return map[string]int64{"size": tree.N, "consistent": 1}, nil
}
