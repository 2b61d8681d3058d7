/*
 * Loaded before OpenSMTPD 6.8 so that its TLS works with OpenSSL 3. Its network process has no
 * private key: it marks the key object that OpenSSL gives it, and asks another process to sign.
 * OpenSSL 3 gives out a copy, so the mark is lost and each handshake fails with "missing private
 * key" (OpenSMTPD's issue 1171; later releases put the marked key back, as is done here).
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <dlfcn.h>
#include <openssl/evp.h>

EC_KEY *
EVP_PKEY_get1_EC_KEY(EVP_PKEY *pkey)
{
	EC_KEY *(*get)(EVP_PKEY *) =
	    (EC_KEY * (*)(EVP_PKEY *)) dlsym(RTLD_NEXT, "EVP_PKEY_get1_EC_KEY");
	EC_KEY *key = get(pkey);

	if (key != NULL)
		EVP_PKEY_set1_EC_KEY(pkey, key);
	return key;
}
