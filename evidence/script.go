package evidence

import _ "embed" // verify.sh travels in every bundle

//go:embed verify.sh
var script []byte

// Script is verify.sh, which checks a bundle with a shell and OpenSSH's tools.
func Script() []byte { return append([]byte(nil), script...) }
