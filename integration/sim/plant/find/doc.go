// Package find is what the hunter finds, as it tells integration/sim/plant.
//
// Promise: plain data; what is written as JSON is read back as it was.
package find
