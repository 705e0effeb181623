package io.sdktokenbroker.android

import android.annotation.TargetApi
import android.content.Context
import android.os.Build
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import android.util.Log
import io.sdktokenbroker.TokenStorage
import java.io.*
import java.security.KeyStore
import java.security.UnrecoverableKeyException
import javax.crypto.*
import javax.crypto.spec.GCMParameterSpec
import org.json.JSONObject

/**
 * Stores the client's values in one file, encrypted with a key that does not leave Android's Keystore. Android excludes
 * the file from backups. Create one for the whole app. The constructor uses neither the disk nor the Keystore.
 *
 * It throws no exception. If the key is lost, or the file comes from another phone, the values are dropped, and the
 * client asks the broker again. If the Keystore or the disk fails, the values live until the process ends. So they do on
 * Android 5, whose Keystore has no AES keys.
 */
class KeystoreTokenStorage(context: Context) : TokenStorage {
    private val app = context.applicationContext
    private val file by lazy { File(app.noBackupFilesDir, "sdk-token-client") }
    private val newFile by lazy { File("${file.path}.new") }
    private val values by lazy { HashMap<String, String>().also(::read) }

    @Synchronized override fun get(key: String): String? = values[key]

    @Synchronized override fun put(key: String, value: String) {
        values[key] = value
        write()
    }

    @Synchronized override fun remove(key: String) {
        if (values.remove(key) != null) write()
    }

    private fun read(values: MutableMap<String, String>) {
        attempt("The stored values are lost") {
            if (!file.exists()) return@attempt
            val json = JSONObject(KeystoreKey.decrypt(file.readBytes()).decodeToString())
            json.keys().forEach { values[it] = json.getString(it) }
        }
    }

    private fun write() {
        val written = values.isNotEmpty() && attempt("The values are lost when the process ends") {
            val encrypted = KeystoreKey.encrypt(JSONObject(values).toString().toByteArray())
            FileOutputStream(newFile).use {
                it.write(encrypted)
                it.fd.sync()
            }
            if (!newFile.renameTo(file)) throw IOException()
        }
        // Its values are no longer true.
        if (!written) file.delete()
    }

    private fun attempt(failure: String, action: () -> Unit): Boolean {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.M) return false
        try {
            action()
            return true
        } catch (error: Exception) {
            // Any exception: the Keystores of some phones throw also NullPointerException. A message can contain a value.
            Log.w("KeystoreTokenStorage", "$failure: ${error.javaClass.name}")
            return false
        }
    }
}

@TargetApi(Build.VERSION_CODES.M)
private object KeystoreKey {
    const val PROVIDER = "AndroidKeyStore"
    const val ALIAS = "sdk-token-client"
    /** Of the initialization vector, which the Keystore chooses for each encryption. */
    const val IV_BYTES = 12

    /** @return the initialization vector, followed by the encrypted bytes and the authentication tag */
    fun encrypt(bytes: ByteArray): ByteArray =
        try {
            encrypt(bytes, existing())
        } catch (_: Exception) {
            // There is none yet, or it never works again.
            encrypt(bytes, generated())
        }

    fun decrypt(bytes: ByteArray): ByteArray {
        val parameters = GCMParameterSpec(128, bytes, 0, IV_BYTES)
        return cipher().apply { init(Cipher.DECRYPT_MODE, existing(), parameters) }
            .doFinal(bytes, IV_BYTES, bytes.size - IV_BYTES)
    }

    private fun encrypt(bytes: ByteArray, key: SecretKey): ByteArray {
        val cipher = cipher().apply { init(Cipher.ENCRYPT_MODE, key) }
        return cipher.iv + cipher.doFinal(bytes)
    }

    private fun cipher() = Cipher.getInstance("AES/GCM/NoPadding")

    private fun existing(): SecretKey {
        val keystore = KeyStore.getInstance(PROVIDER).apply { load(null) }
        return keystore.getKey(ALIAS, null) as SecretKey? ?: throw UnrecoverableKeyException()
    }

    /** Replaces the existing key. */
    private fun generated(): SecretKey {
        val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val parameters = KeyGenParameterSpec.Builder(ALIAS, purposes)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .setKeySize(256)
            .build()
        val generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER)
        return generator.apply { init(parameters) }.generateKey()
    }
}
