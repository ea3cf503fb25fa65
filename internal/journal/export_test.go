package journal

import "regexp"

// Bodies and IDForms are for tests that walk them.
func Bodies() []Body { return []Body{Act{}, Session{}, Attempt{}, Roster{}, Carrier{}} }

func IDForms() map[string]*regexp.Regexp { return idForms }
