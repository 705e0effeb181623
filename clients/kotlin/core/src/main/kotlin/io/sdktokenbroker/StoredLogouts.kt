package io.sdktokenbroker

import org.json.JSONObject

/** Names an account by the app's own id and by the vendor's, as far as they are known. */
internal data class Account(val userId: String?, val accessId: String?) {
    fun isSameAs(other: Account) =
        userId != null && userId == other.userId || accessId != null && accessId == other.accessId

    /** Also if the app has not named one of the users, for example before its first [SdkTokenClient.switchUser]. */
    fun mayBeSameAs(other: Account) = isSameAs(other) || userId == null || other.userId == null
}

/** Session and account of each logout that the broker has not answered. */
internal class StoredLogouts(private val storage: TokenStorage) {
    /** The logouts that the storage has refused. They are kept until the process ends. */
    private var unstored = emptyMap<String, Account>()

    fun all(): Map<String, Account> = stored() + unstored

    /** Also if the storage fails: then the broker is asked for a logout that may be over. */
    operator fun contains(session: String) =
        session in unstored || runCatching { session in stored() }.getOrDefault(true)

    /** Throws what the storage throws. The change counts even so. */
    fun edit(change: (Map<String, Account>) -> Map<String, Account>) {
        try {
            val before = stored()
            val after = change(before + unstored)
            if (after != before) store(after)
            unstored = emptyMap()
        } catch (error: Throwable) {
            unstored = change(unstored)
            throw error
        }
    }

    private fun stored(): Map<String, Account> {
        val json = storage.get(KEY)?.let(::jsonObject) ?: return emptyMap()
        return json.keys().asSequence().associateWith { session ->
            val account = json.optJSONObject(session)
            Account(account?.text("userId"), account?.text("accessId"))
        }
    }

    private fun store(logouts: Map<String, Account>) {
        val json = logouts.mapValues { (_, it) -> JSONObject().put("userId", it.userId).put("accessId", it.accessId) }
        storage.put(KEY, JSONObject(json).toString())
    }

    private companion object {
        const val KEY = "sdk-token.logouts"
    }
}
