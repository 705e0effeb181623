package io.sdktokenbroker.android

import android.os.Build.VERSION_CODES
import android.security.keystore.KeyProperties
import java.io.File
import java.security.ProviderException
import java.security.Security
import javax.crypto.spec.SecretKeySpec
import kotlin.concurrent.thread
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.ConscryptMode
import org.robolectric.shadows.ShadowLog

/** With the classes of Android 14, except where a test names another version. */
@RunWith(AndroidTestRunner::class)
@Config(manifest = Config.NONE, sdk = [VERSION_CODES.UPSIDE_DOWN_CAKE])
@ConscryptMode(ConscryptMode.Mode.OFF)
class KeystoreTokenStorageTest {
    private val app = RuntimeEnvironment.getApplication()
    private val dataDir = File(app.applicationInfo.dataDir)
    private val file = File(app.noBackupFilesDir, "sdk-token-client")

    /** As after a start of the process. */
    private fun storage() = KeystoreTokenStorage(app)

    @Before fun installKeystore() {
        FakeKeystore.reset()
        Security.addProvider(FakeKeystore)
    }

    @After fun removeKeystore() = Security.removeProvider(FakeKeystore.name)

    @Test fun `values survive the process`() {
        storage().apply { put("a", "1"); put("b", "值 \"2\""); put("a", "3") }
        storage().apply { assertEquals("3", get("a")); assertEquals("值 \"2\"", get("b")); assertNull(get("c")) }
    }

    @Test fun `removed values do not come back`() {
        storage().apply { put("a", "1"); put("b", "2"); remove("a"); assertNull(get("a")) }
        storage().apply { assertNull(get("a")); assertEquals("2", get("b")); remove("b") }
        assertFalse(file.exists())
        assertNull(storage().get("b"))
    }

    @Test fun `the file is encrypted, each time in another way, and excluded from backups`() {
        storage().put("the-name", "the-value")
        val first = file.readBytes()
        assertFalse(first.decodeToString().contains("the-"))
        storage().put("the-name", "the-value")
        assertNotEquals(first.toList(), file.readBytes().toList())
        assertEquals(listOf(file), dataDir.walk().filter { it.isFile }.toList())
    }

    @Test fun `the key is for AES-GCM with 256 bits, and needs no unlocked phone`() {
        storage().put("a", "1")
        val key = checkNotNull(FakeKeystore.generated)
        assertEquals(256, key.keySize)
        assertArrayEquals(arrayOf(KeyProperties.BLOCK_MODE_GCM), key.blockModes)
        assertArrayEquals(arrayOf(KeyProperties.ENCRYPTION_PADDING_NONE), key.encryptionPaddings)
        assertEquals(KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT, key.purposes)
        assertTrue(key.isRandomizedEncryptionRequired)
        assertFalse(key.isUserAuthenticationRequired || key.isUnlockedDeviceRequired)
    }

    @Test fun `the constructor uses neither the disk nor the Keystore`() {
        app.noBackupFilesDir.delete()
        storage()
        assertFalse(File(dataDir, "no_backup").exists())
        assertEquals(0, FakeKeystore.uses)
    }

    @Test fun `after the first read, a get uses neither the disk nor the Keystore`() {
        storage().put("a", "1")
        val storage = storage()
        assertEquals("1", storage.get("a"))
        file.delete()
        FakeKeystore.failure = ProviderException()
        assertEquals("1", storage.get("a"))
    }

    @Test fun `without its key, the values are dropped, and later ones survive`() {
        storage().put("a", "1")
        FakeKeystore.secrets.clear()
        storage().apply { assertNull(get("a")); put("b", "2") }
        storage().apply { assertNull(get("a")); assertEquals("2", get("b")) }
    }

    @Test fun `with the file of another phone, the values are dropped, and later ones survive`() {
        storage().put("a", "1")
        val other = file.readBytes()
        FakeKeystore.secrets.clear()
        storage().put("b", "2")
        file.writeBytes(other)
        storage().apply { assertNull(get("a")); put("b", "2") }
        assertEquals("2", storage().get("b"))
    }

    @Test fun `an invalidated key is replaced`() {
        storage().put("a", "1")
        // The JVM refuses its length with InvalidKeyException, which Android's exception for this case extends.
        FakeKeystore.secrets["sdk-token-client"] = SecretKeySpec(ByteArray(5), "AES")
        storage().apply { assertNull(get("a")); put("b", "2") }
        assertEquals("2", storage().get("b"))
    }

    @Test fun `a damaged file is dropped`() {
        storage().put("a", "1")
        val whole = file.readBytes()
        val flipped = whole.copyOf().also { it[20] = (it[20] + 1).toByte() }
        for (damaged in listOf(ByteArray(0), whole.copyOf(5), whole.copyOf(12), whole.dropLast(1).toByteArray(), flipped)) {
            file.writeBytes(damaged)
            assertNull(storage().get("a"))
        }
    }

    @Test fun `a write that the end of the process interrupted leaves the values of before`() {
        storage().put("a", "1")
        File("$file.new").writeText("half of a")
        storage().apply { assertEquals("1", get("a")); put("a", "2") }
        assertEquals("2", storage().get("a"))
    }

    @Test fun `without a working Keystore, values live in memory, and old ones do not come back`() {
        storage().put("a", "1")
        val storage = storage()
        storage.get("a")
        FakeKeystore.failure = ProviderException("Keystore error for 2")
        storage.apply { put("a", "2"); assertEquals("2", get("a")) }
        FakeKeystore.failure = null
        assertNull(storage().get("a"))
        storage.put("b", "3")
        storage().apply { assertEquals("2", get("a")); assertEquals("3", get("b")) }
    }

    @Test fun `without a working disk, values live in memory, and old ones do not come back`() {
        storage().put("a", "1")
        File("$file.new").mkdir()
        storage().apply { put("a", "2"); assertEquals("2", get("a")) }
        assertNull(storage().get("a"))
    }

    @Test fun `a failure is logged, without the values`() {
        storage().put("a", "the-value")
        FakeKeystore.failure = NullPointerException("the-value")
        storage().apply { assertNull(get("a")); put("b", "the-value") }
        val log = ShadowLog.getLogsForTag("KeystoreTokenStorage").map { it.msg to it.throwable }
        assertEquals(
            listOf(
                "The stored values are lost: java.lang.NullPointerException" to null,
                "The values are lost when the process ends: java.lang.NullPointerException" to null,
            ),
            log,
        )
    }

    @Test fun `threads do not overwrite each other's values`() {
        val storage = storage()
        (1..8).map { thread { storage.put("$it", "$it") } }.forEach { it.join() }
        storage().apply { (1..8).forEach { assertEquals("$it", get("$it")) } }
    }

    @Test @Config(sdk = [VERSION_CODES.LOLLIPOP])
    fun `on Android 5, values live in memory`() {
        storage().apply { put("a", "1"); put("b", "2"); remove("b"); assertEquals("1", get("a")); assertNull(get("b")) }
        assertNull(storage().get("a"))
        assertFalse(file.exists())
        assertEquals(0, FakeKeystore.uses)
    }
}
