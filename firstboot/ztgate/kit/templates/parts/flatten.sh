flatten() {
	awk '
	function skip() { sub(/^[ \t\r\n]+/, "", t) }
	function word(  s) {
		if (!match(t, /^"([^"\\]|\\.)*"/)) exit 1
		s = substr(t, 2, RLENGTH - 2); t = substr(t, RLENGTH + 1); return s
	}
	function value(path,  c, n, key) {
		skip(); c = substr(t, 1, 1)
		if (c == "{" || c == "[") {
			t = substr(t, 2); skip(); n = 0
			while (t != "" && substr(t, 1, 1) != "}" && substr(t, 1, 1) != "]") {
				key = n++
				if (c == "{") { key = word(); skip(); t = substr(t, 2) }
				value(path "." key); skip()
				if (substr(t, 1, 1) == ",") t = substr(t, 2)
				skip()
			}
			t = substr(t, 2)
		} else if (c == "\"") print path "=" word()
		else { if (!match(t, /^[-+.0-9A-Za-z]+/)) exit 1
			print path "=" substr(t, 1, RLENGTH); t = substr(t, RLENGTH + 1) }
	}
	{ t = t $0 "\n" }
	END { value("") }'
}
