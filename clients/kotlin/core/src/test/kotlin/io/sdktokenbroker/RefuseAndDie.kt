package io.sdktokenbroker

import java.io.File
import java.util.Properties
import kotlinx.coroutines.runBlocking

const val EXIT_CODE_OF_DEATH = 9

/** A storage in a file, for tests that cross processes. */
class FileStorage(private val file: File) : TokenStorage {
    private fun read() = Properties().apply { if (file.exists()) file.reader().use(::load) }
    private fun edit(change: Properties.() -> Unit) {
        val changed = read().apply(change)
        file.writer().use { changed.store(it, "") }
    }

    override fun get(key: String): String? = read().getProperty(key)
    override fun put(key: String, value: String) = edit { setProperty(key, value) }
    override fun remove(key: String) = edit { remove(key) }

    companion object {
        fun temporary(use: (File) -> Unit) {
            val file = File.createTempFile("sdk-token", ".properties")
            try {
                use(file)
            } finally {
                file.delete()
            }
        }
    }
}

/** An app whose SDK was refused, and that dies at once. No broker is in reach. */
fun main(arguments: Array<String>) {
    val noSessions = object : SessionSource {
        override suspend fun session() = error("there is no session")
        override suspend fun renewedSession(refused: String) = error("there is no session")
    }
    val client = SdkTokenClient("http://127.0.0.1:1", "phone-1", noSessions, FileStorage(File(arguments[0])))
    runBlocking { client.tokenWasRefused() }
    Runtime.getRuntime().halt(EXIT_CODE_OF_DEATH)
}
