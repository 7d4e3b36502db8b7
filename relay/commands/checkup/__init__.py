"""What `relay doctor` looks at, one file for each place to look: each check answers findings and changes nothing."""
