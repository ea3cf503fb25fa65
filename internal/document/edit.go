package document

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Edit changes a document that Decode took, for programs that may write in what a
// person wrote. Comments and the order of keys stay; blank lines and indentation
// do not. change gets the outermost keys and values.
func Edit(text []byte, change func(root *Node) error) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("edit document: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("edit document: it has no keys and values")
	}
	if err := change(doc.Content[0]); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("edit document: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("edit document: %w", err)
	}
	return b.Bytes(), nil
}

// Field is what stands under a key; nil when nothing does.
func Field(n *Node, key string) *Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// SetField puts a value, encoded by its yaml tags, under a key: in place of the
// one there, whose comments it inherits, or at the end.
func SetField(n *Node, key string, value any) error {
	var v yaml.Node
	if err := v.Encode(value); err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	if old := Field(n, key); old != nil {
		v.HeadComment, v.LineComment, v.FootComment = old.HeadComment, old.LineComment, old.FootComment
		*old = v
		return nil
	}
	if len(n.Content) == 0 {
		n.Style = 0 // {} becomes lines
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, &v)
	return nil
}

// RemoveField takes a key away with its value and the comments of both.
func RemoveField(n *Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = append(n.Content[:i], n.Content[i+2:]...)
			return
		}
	}
}
