export type Language = 'en' | 'zh';
export type Texts = Readonly<Record<Language, string>>;
