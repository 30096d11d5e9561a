{
  "version": 1,
  "signer": "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
  "statement": "{\"files\": {\"model.engine\": \"9e160d465697f6ec95119713f581b11463086fb3d065bb7a5ebd73167996047b\", \"model.engine.json\": \"ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356\"}, \"signed_at\": \"2026-11-30T12:00:00Z\"}",
  "signature": "PBSxmCagqnwp5JVFiZK0VeMUg6D8wxk8r/EWCbEAsAL68zhTJ3Qogd+9uwTk341kSQDMWY2G0X1difNpDpSBBQ=="
}
