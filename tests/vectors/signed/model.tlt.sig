{
  "version": 1,
  "signer": "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
  "statement": "{\"files\": {\"model.tlt\": \"b8f95db82f836809ead974fb60d91a99d24244e7fb58dca554192ca711547ad1\"}, \"signed_at\": \"2026-11-30T12:00:00Z\"}",
  "signature": "bxWCvJnaW8UEc3nM8xX4EdSn8JvPWEPC5z9Tv9rClIkb+gS64EYtMGuf98xavWbzEHLjji5n7c33jlBtsuZ1Aw=="
}
