// Package newfile makes files that are there whole or not at all.
//
// Promise: what Write has made is on the disk, and only its owner may read it. No file is replaced.
package newfile
