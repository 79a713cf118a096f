// Package quietlog holds repetitions back in a log: an outage of days must not wear out an edge host's disk.
//
// Promise: a line that says what the last one of its subject said is written at most once a minute, with the
// number of those held back. So is one that gives a reason which a line about the same state has given already: reasons that take turns are no
// news. A change is written at once, at most five a minute for each subject; above that it is
// held, and the last one held is written when the minute is over, unless it says what was written last. So
// the last line of a subject is its state, at most a minute late, and not at all late after Flush.
//
// A subject is a thing that is in one state at a time, such as the link or one topic's quota: an event never holds back, or takes the
// place of, one about something else. Lines at DEBUG are always written.
//
// Lines that count records (records) are no repetitions of each other: suppressed_records is the sum of those held back. Events
// that name bytes or records which are lost (file.gap and the like) are always written.
package quietlog
