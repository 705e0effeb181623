package com.example.cloud;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.crypto.password.Pbkdf2PasswordEncoder;
import org.springframework.stereotype.Component;
import tools.jackson.databind.json.JsonMapper;

/** The accounts, in one JSON file. Replace this class by your database. */
@Component
public class Accounts {
    private record Content(List<Account> accounts, Set<String> toErase) {
    }

    private final PasswordEncoder passwords = Pbkdf2PasswordEncoder.defaultsForSpringSecurity_v5_8();
    private final String hashOfNobody = passwords.encode(UUID.randomUUID().toString());
    private final JsonMapper json;
    private final Path file;
    private final Map<String, Account> byUnionId = new HashMap<>();
    private final Map<String, Account> byName = new HashMap<>();
    /** By unionId of a deleted account that the broker has not erased yet: how often its erasure was asked for. */
    private final Map<String, Integer> toErase = new LinkedHashMap<>();

    Accounts(Settings settings, JsonMapper json) throws IOException {
        this.json = json;
        Files.createDirectories(settings.dataDir());
        file = settings.dataDir().resolve("accounts.json");
        if (!Files.exists(file)) {
            return;
        }
        Content stored = json.readValue(Files.readString(file), Content.class);
        stored.accounts().forEach(this::add);
        stored.toErase().forEach(unionId -> toErase.put(unionId, 1));
    }

    synchronized Optional<Account> byName(String name) {
        return Optional.ofNullable(byName.get(name));
    }

    synchronized Optional<Account> byUnionId(String unionId) {
        return Optional.ofNullable(byUnionId.get(unionId));
    }

    /** Returns the new account; empty if somebody has this name. */
    Optional<Account> create(String name, String password, String nickName, String country) throws IOException {
        String hash = passwords.encode(password);
        synchronized (this) {
            if (byName.containsKey(name)) {
                return Optional.empty();
            }
            Account account = new Account(UUID.randomUUID().toString(), name, nickName, country, hash);
            add(account);
            save();
            return Optional.of(account);
        }
    }

    /** Returns the account with this name and password. It takes equally long for a name that nobody has. */
    Optional<Account> authenticate(String name, String password) {
        Optional<Account> account = byName(name);
        boolean matches = passwords.matches(password, account.map(Account::passwordHash).orElse(hashOfNobody));
        return account.filter(known -> matches);
    }

    /** Deletes the account, and remembers that the broker must erase it. */
    synchronized void delete(Account account) throws IOException {
        byUnionId.remove(account.unionId());
        byName.remove(account.name());
        eraseLater(account.unionId());
    }

    synchronized void eraseLater(String unionId) throws IOException {
        toErase.merge(unionId, 1, Integer::sum);
        save();
    }

    /** By unionId, a number for {@link #erased}. */
    synchronized Map<String, Integer> toErase() {
        return new LinkedHashMap<>(toErase);
    }

    /** If the erasure was asked for again since toErase(), it is still to be done. */
    synchronized void erased(String unionId, int number) throws IOException {
        if (toErase.remove(unionId, number)) {
            save();
        }
    }

    private void add(Account account) {
        byUnionId.put(account.unionId(), account);
        byName.put(account.name(), account);
    }

    /** A process that dies during a write leaves the former file. */
    private void save() throws IOException {
        Path next = file.resolveSibling("accounts.json.new");
        Files.writeString(next, json.writeValueAsString(new Content(List.copyOf(byUnionId.values()), toErase.keySet())));
        Files.move(next, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }
}
