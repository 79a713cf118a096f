package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spoold/spoold"
)

// referenceIntro opens docs/configuration.md.
const referenceIntro = `# Configuration

This page is made of the same table that reads the configuration (` + "`go test ./cmd/spoold -run Reference -update`" + `); ` + "`spoold config explain KEY`" + ` says the same of one key.

Keys stand in a YAML file (` + "`-c spoold.yaml`" + `; maps may be nested, and Kafka's keys may stand under ` + "`kafka:`" + `), in a ` + "`.properties`" + ` file, in the environment
(` + "`SPOOLD_LINGER_MS`" + ` sets ` + "`linger.ms`" + `), or on the command line (` + "`-X linger.ms=20`" + `). What is said later in this list wins, and flags of their own win over all.
` + "`spoold config print`" + ` shows what they come to and where each value is from. Two spellings of one key in one place are an error, and so is a key that is not known.

A variable of the environment that begins with ` + "`SPOOLD_`" + ` and sets no key is an error, too. What Kubernetes and Docker set for services with such names is passed by (` + "`SPOOLD_SERVICE_HOST`" + `,
` + "`SPOOLD_PORT_8082_TCP`" + `), and so is a variable that a value refers to (` + "`${env:SPOOLD_KAFKA_PASSWORD}`" + `). An empty variable is not set. A YAML file is one document.

Sizes are bytes: ` + "`64KiB`" + ` and ` + "`64k`" + ` are 65536, ` + "`64kB`" + ` is 64000, and so with M, G and T, in any case of letters.

Secrets may be given as ` + "`${env:NAME}`" + ` or ` + "`${file:PATH}`" + `, also within a JAAS line, and so may other values of which the table says it; elsewhere such a reference is an error. Kafka's ` + "`${file:PATH:KEY}`" + ` is not read. Secrets are never printed. Files of certificates, keys, tokens and passwords are
looked at for each connection: a changed one is in force without a restart, and ` + "`SIGHUP`" + ` has the daemon read its configuration file again.
`

// writeReference writes docs/configuration.md.
func writeReference(out io.Writer) {
	fmt.Fprint(out, referenceIntro)
	sections := []struct {
		title, intro string
		takes        func(*keyDoc) bool
	}{
		{"Kafka's keys", "", func(k *keyDoc) bool { return k.Works && k.Kafka && !spoold.ReloadsSecurity(k.Name) }},
		{"Encryption and authentication", "", func(k *keyDoc) bool { return k.Works && spoold.ReloadsSecurity(k.Name) }},
		{"The spool", "", func(k *keyDoc) bool { return k.Works && !k.Kafka && !k.daemon }},
		{"The daemon", "Read by `spoold serve` alone.", func(k *keyDoc) bool { return k.daemon }},
	}
	for _, s := range sections {
		fmt.Fprintf(out, "\n## %s\n\n", s.title)
		if s.intro != "" {
			fmt.Fprintf(out, "%s\n\n", s.intro)
		}
		fmt.Fprint(out, "| key | values | default | meaning |\n|---|---|---|---|\n")
		for _, k := range keyDocs() {
			if !s.takes(&k) {
				continue
			}
			name := "`" + k.Name + "`"
			for _, a := range k.Aliases {
				name += "<br>`" + a + "`"
			}
			fmt.Fprintf(out, "| %s | %s | %s | %s |\n", name, cell(k.values()), quoted(k.Default), cell(strings.TrimSpace(k.Help+" "+k.effect())))
		}
	}
	writeInert(out, "Keys that are ignored", "They are for Java or C alone, or ask for what is always so. Setting one gives a warning, unless to a value that changes nothing.", false)
	writeInert(out, "Keys that are refused", "What they ask for is not there. Only an empty value is taken, and the values beside them, which change nothing.", true)
}

func writeInert(out io.Writer, title, intro string, refused bool) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n| key | harmless values | why |\n|---|---|---|\n", title, intro)
	for _, k := range keyDocs() {
		if !k.Works && k.Refused == refused {
			name := k.Name
			if strings.HasSuffix(name, ".") {
				name += "…"
			}
			var values []string
			for _, v := range k.Harmless {
				values = append(values, quoted(v))
			}
			fmt.Fprintf(out, "| `%s` | %s | %s |\n", name, strings.Join(values, ", "), cell(k.Note))
		}
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
