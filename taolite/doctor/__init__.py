"""What of this machine, its libraries and a workspace works, as values (`taolite.doctor.examine`). No torch."""
