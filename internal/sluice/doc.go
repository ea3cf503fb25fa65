// Package sluice is the water: how records leave the old laboratory's database
// and enter the new one's. Extract and Load read top to bottom; everything they
// touch is an interface or a value, so that the package knows no server, lease
// or person.
//
// # The life of a record
//
//  1. reader.Session.ReadChunk decodes a row from the source's own wire format
//     into a record.Batch. Only instructed columns were asked for.
//  2. screen.Screen.Look refuses values shaped like credentials and counts what
//     free text holds.
//  3. seal.Writer.Write makes the batch part of a chunk: Arrow, zstd, age, to the
//     target gate's recipient alone, with a keyed sum.
//  4. Outlet.Put hands ciphertext and signed descriptor to the chamber.
//  5. Inlet.Next gives them to the target gate; seal.Open checks all of it.
//  6. mapping.Run.Apply makes target rows of it, or a reject.
//  7. reconcile.Sums adds each row's keyed digest: as loaded.
//  8. writer.Session.Load writes the chunk and its marker in one transaction.
//  9. reader.Scanner.Scan reads the target back; reconcile compares.
package sluice
