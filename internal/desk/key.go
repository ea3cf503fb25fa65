package desk

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
)

// NewKey makes an Ed25519 key for one person (or one root) in OpenSSH's format
// at path, and its public half at path.pub, as ssh-keygen does. An empty
// passphrase leaves the private half unencrypted.
func NewKey(path, comment string, passphrase []byte) (ecluse.Fingerprint, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	var block *pem.Block
	if len(passphrase) > 0 {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, comment, passphrase)
	} else {
		block, err = ssh.MarshalPrivateKey(private, comment)
	}
	if err != nil {
		return "", err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	if err := durable.CreateFile(path, pem.EncodeToMemory(block)); err != nil {
		return "", &ecluse.Error{Kind: ecluse.Invalid, What: "make key", Where: path, Why: "the file cannot be made", Next: "choose a name that is free", Err: err}
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n") + " " + comment + "\n"
	if err := durable.WriteFile(path+".pub", []byte(line)); err != nil {
		return "", err
	}
	return evidence.FingerprintOf(key), nil
}

// Signer finds the private key that name stands for: a key file, or a public
// key file (name.pub) or fingerprint of a key held by ssh-agent. ask is called
// for the passphrase of an encrypted file, when something is to be signed: who is
// logged in already is not asked. It may be nil.
func Signer(name string, ask func(file string) ([]byte, error)) (ssh.Signer, error) {
	if name == "" {
		return nil, &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: "sign", Why: "no key is named",
			Next: "add --as KEY: a key file, or the public key or fingerprint of a key in ssh-agent",
		}
	}
	if f := ecluse.Fingerprint(name); f.Valid() {
		return agentSigner(f)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "sign", Where: name, Why: "the key cannot be read", Err: err}
	}
	if key, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
		return agentSigner(evidence.FingerprintOf(key))
	}
	s, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && ask != nil {
		k := &encrypted{open: sync.OnceValues(func() (ssh.AlgorithmSigner, error) { return unlock(name, text, ask) }), public: locked.PublicKey}
		if k.public == nil { // an old format, that hides it too
			s, err := k.open()
			if err != nil {
				return nil, err
			}
			return s, nil
		}
		return k, nil
	}
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "sign", Where: name, Why: "it is not a key that OpenSSH would read", Err: err,
			Next: "make one with `ecluse key new` or ssh-keygen; an encrypted key without a terminal: add it to ssh-agent and name its .pub file",
		}
	}
	return s, nil
}

// encrypted is a key whose passphrase is asked for when it first signs.
type encrypted struct {
	public ssh.PublicKey
	open   func() (ssh.AlgorithmSigner, error)
}

func (k *encrypted) PublicKey() ssh.PublicKey { return k.public }

func (k *encrypted) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

func (k *encrypted) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s, err := k.open()
	if err != nil {
		return nil, err
	}
	if algorithm == "" {
		return s.Sign(rand, data)
	}
	return s.SignWithAlgorithm(rand, data, algorithm)
}

// unlock opens an encrypted key.
func unlock(name string, text []byte, ask func(file string) ([]byte, error)) (ssh.AlgorithmSigner, error) {
	pass, err := ask(name)
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	s, err := ssh.ParsePrivateKeyWithPassphrase(text, pass)
	if as, ok := s.(ssh.AlgorithmSigner); err == nil && ok {
		return as, nil
	}
	return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "sign", Where: name, Why: "the passphrase does not open the key"}
}

// agentSigner asks ssh-agent for a key.
func agentSigner(want ecluse.Fingerprint) (ssh.Signer, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "sign", Why: "no ssh-agent is reachable (SSH_AUTH_SOCK is empty)", Next: "start one, or name the private key's file"}
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "reach ssh-agent", Err: err}
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "ask ssh-agent for its keys", Err: err}
	}
	for _, s := range signers {
		if evidence.FingerprintOf(s.PublicKey()) == want {
			return s, nil // the connection lives as long as the command
		}
	}
	return nil, &ecluse.Error{
		Kind: ecluse.Invalid, What: "sign", Why: fmt.Sprintf("ssh-agent holds %d keys and none is %s", len(signers), want), Next: "ssh-add the key",
	}
}
