package io.sdktokenbroker.android

import android.security.keystore.KeyGenParameterSpec
import java.io.InputStream
import java.io.OutputStream
import java.security.*
import java.security.cert.Certificate
import java.security.spec.AlgorithmParameterSpec
import java.util.*
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey
import javax.crypto.spec.SecretKeySpec

/** Stands in for `AndroidKeyStore`, which Robolectric does not have. Its keys are ordinary ones of the JVM. */
object FakeKeystore : Provider("AndroidKeyStore", "1", "for tests") {
    val secrets = mutableMapOf<String, Key>()
    var generated: KeyGenParameterSpec? = null
    var uses = 0
    /** All that it does fails with this. */
    var failure: RuntimeException? = null

    init {
        put("KeyStore.AndroidKeyStore", Store::class.java.name)
        put("KeyGenerator.AES", Generator::class.java.name)
    }

    fun reset() {
        secrets.clear()
        generated = null
        uses = 0
        failure = null
    }

    private fun use() {
        uses += 1
        failure?.let { throw it }
    }

    class Generator : KeyGeneratorSpi() {
        private lateinit var parameters: KeyGenParameterSpec

        override fun engineInit(params: AlgorithmParameterSpec, random: SecureRandom?) {
            parameters = params as KeyGenParameterSpec
        }

        override fun engineGenerateKey(): SecretKey {
            use()
            generated = parameters
            val bytes = ByteArray(parameters.keySize / 8).also(SecureRandom()::nextBytes)
            return SecretKeySpec(bytes, "AES").also { secrets[parameters.keystoreAlias] = it }
        }

        override fun engineInit(random: SecureRandom?) = throw UnsupportedOperationException()
        override fun engineInit(size: Int, random: SecureRandom?) = throw UnsupportedOperationException()
    }

    class Store : KeyStoreSpi() {
        override fun engineLoad(stream: InputStream?, password: CharArray?) = Unit
        override fun engineGetKey(alias: String, password: CharArray?): Key? {
            use()
            return secrets[alias]
        }

        override fun engineGetCertificateChain(alias: String) = throw UnsupportedOperationException()
        override fun engineGetCertificate(alias: String) = throw UnsupportedOperationException()
        override fun engineGetCreationDate(alias: String) = throw UnsupportedOperationException()
        override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) =
            throw UnsupportedOperationException()
        override fun engineSetKeyEntry(alias: String, key: ByteArray, chain: Array<Certificate>?) =
            throw UnsupportedOperationException()
        override fun engineSetCertificateEntry(alias: String, certificate: Certificate?) =
            throw UnsupportedOperationException()
        override fun engineDeleteEntry(alias: String) = throw UnsupportedOperationException()
        override fun engineAliases() = throw UnsupportedOperationException()
        override fun engineContainsAlias(alias: String) = throw UnsupportedOperationException()
        override fun engineSize() = throw UnsupportedOperationException()
        override fun engineIsKeyEntry(alias: String) = throw UnsupportedOperationException()
        override fun engineIsCertificateEntry(alias: String) = throw UnsupportedOperationException()
        override fun engineGetCertificateAlias(certificate: Certificate) = throw UnsupportedOperationException()
        override fun engineStore(stream: OutputStream, password: CharArray?) = throw UnsupportedOperationException()
    }
}
