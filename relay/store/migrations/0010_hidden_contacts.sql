-- One that is being removed is known by no name any more (contact_removal.py): whoever writes anew is somebody new.
ALTER TABLE whatsapp_contacts DROP CONSTRAINT whatsapp_contacts_check;
