package com.example.cloud;

/**
 * An account.
 *
 * @param unionId never changes and says nothing about the person: the vendor learns it
 * @param name the name that the user types
 * @param country ISO 3166-1 alpha-2
 */
public record Account(String unionId, String name, String nickName, String country, String passwordHash) {
}
