/* phone('5511987654321') → '+55 11 98765-4321'; other countries' numbers with their plus alone; '' for none. */

export function phone(digits) {
  if (!digits) return '';
  const plain = String(digits).replace(/\D/g, '');
  const brazilian = /^55(\d{2})(\d{4,5})(\d{4})$/.exec(plain);
  return brazilian ? `+55 ${brazilian[1]} ${brazilian[2]}-${brazilian[3]}` : `+${plain}`;
}
